/*
 * buffer.c: random operations against a plain model.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "tap.h"

#define STEPS 20000
#define MODEL_MAX (1u << 20)

static char model[MODEL_MAX];
static size_t model_len;
static char source[70000];
static struct pfk__buffer buffer;

static bool
is_sound(void)
{
	return (buffer.base == NULL) == (buffer.size == 0) &&
	    buffer.offset + buffer.len <= buffer.size &&
	    (buffer.len > 0 || buffer.size == 0) && buffer.len == model_len;
}

static bool
is_same(void)
{
	return model_len == 0 ||
	    memcmp(buffer.base + buffer.offset, model, model_len) == 0;
}

static void
append(size_t n)
{
	size_t from = (size_t)rand() % (sizeof(source) - n);

	if (model_len + n > MODEL_MAX)
		return;
	pfk__buffer_append(&buffer, source + from, n);
	memcpy(model + model_len, source + from, n);
	model_len += n;
}

static void
consume(size_t n)
{
	pfk__buffer_consume(&buffer, n);
	model_len -= n;
	memmove(model, model + n, model_len);
}

static void
test_model(void)
{
	int unsound = 0, different = 0;

	for (int i = 0; i < STEPS; i++) {
		size_t scale = rand() % 50 == 0 ? 60000 : 300;

		if (rand() % 2 == 0)
			append((size_t)rand() % scale);
		else
			consume((size_t)rand() % (model_len + 1) % (2 * scale));
		unsound += !is_sound();
		different += i % 16 == 0 && !is_same();
	}
	is_int(unsound, 0, "the invariants hold, %d steps", STEPS);
	is_int(different, 0, "first in, first out");
	consume(model_len);
	ok(buffer.base == NULL && buffer.size == 0, "empty: no memory");
}

int
main(void)
{
	srand(1);
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (char)rand();
	ok(pfk__buffer_append(&buffer, NULL, 0) == 0 && buffer.base == NULL,
	    "nothing appended");
	test_model();
	pfk__buffer_append(&buffer, source, 10);
	ok(pfk__buffer_append(&buffer, source, SIZE_MAX - 5) == -1,
	    "more than there can be");
	ok(buffer.len == 10 && memcmp(buffer.base, source, 10) == 0,
	    "changes nothing");
	pfk__buffer_clear(&buffer);
	ok(buffer.base == NULL && buffer.len == 0, "clear");
	pfk__buffer_clear(&buffer);
	return done_testing();
}
