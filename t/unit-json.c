/*
 * json.c: its output for strings of any bytes, and the places of the commas.
 */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

static char *text;
static size_t size;

static struct pfk__json
begin(void)
{
	free(text);
	text = NULL;
	return (struct pfk__json){.f = open_memstream(&text, &size)};
}

static const char *
string(const char *value)
{
	struct pfk__json j = begin();

	pfk__json_string(&j, NULL, value);
	fclose(j.f);
	return text;
}

static void
strings(void)
{
	static const char hex[] = "\\ufffd";

	is_str(string(NULL), "null", "NULL");
	is_str(string(""), "\"\"", "empty");
	is_str(string("a\"b\\c/"), "\"a\\\"b\\\\c/\"", "quotes");
	is_str(string("\n\t\x01\x7f"), "\"\\u000a\\u0009\\u0001\\u007f\"",
	    "control bytes");
	is_str(string("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
	    "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"", "UTF-8 as it is");
	is_str(string("\xc2\x9b\xc2\xa0"), "\"\\u009b\xc2\xa0\"",
	    "controls of a terminal beyond ASCII");
	is_str(string("\xff"), "\"\\ufffd\"", "no UTF-8: %s", hex);
	is_str(string("\xc0\xaf"), "\"\\ufffd\\ufffd\"", "an overlong form");
	is_str(string("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"",
	    "a surrogate");
	is_str(string("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"",
	    "above U+10FFFF");
	is_str(string("\xe2\x82"), "\"\\ufffd\\ufffd\"", "cut in the middle");
	is_str(string("\xc3"), "\"\\ufffd\"", "cut at the end");
}

static void
structure(void)
{
	struct pfk__json j = begin();

	pfk__json_open(&j, NULL, '{');
	pfk__json_int(&j, "a", -1);
	pfk__json_open(&j, "b", '[');
	pfk__json_bool(&j, NULL, true);
	pfk__json_open(&j, NULL, '{');
	pfk__json_close(&j, '}');
	pfk__json_null(&j, NULL);
	pfk__json_close(&j, ']');
	pfk__json_seconds(&j, "c\"", 1.5);
	pfk__json_open(&j, "d", '[');
	pfk__json_close(&j, ']');
	pfk__json_close(&j, '}');
	fclose(j.f);
	is_str(text,
	    "{\"a\": -1, \"b\": [true, {}, null], \"c\\\"\": 1.500, "
	    "\"d\": []}",
	    "commas, keys and nesting");
}

int
main(void)
{
	strings();
	structure();
	free(text);
	return done_testing();
}
