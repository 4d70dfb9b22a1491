/*
 * merge.c: the answers of several services as one text.
 *
 * The samples of a metric stand together, so the text of each service is cut into
 * families, from one "# HELP" to the next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"

#define FAMILIES_MAX 256

struct family {
	const char *head; /* its lines that begin with '#' */
	size_t head_len, name_len;
	struct {
		const char *at;
		size_t len;
	} samples[SERVICES_MAX];
	int n;
};

struct page {
	struct family *families;
	int n;
};

static const char up_text[] = "# HELP prefork_up 1 while the master answers.\n"
			      "# TYPE prefork_up gauge\n";

/* families */

static struct family *
family_of(struct page *p, const char *head)
{
	const char *name = head + strlen("# HELP ");
	size_t len = strcspn(name, " \n");
	struct family *f;

	for (int i = 0; i < p->n; i++) {
		f = &p->families[i];
		if (f->name_len == len &&
		    memcmp(f->head + strlen("# HELP "), name, len) == 0)
			return f;
	}
	if (p->n == FAMILIES_MAX)
		return NULL;
	f = &p->families[p->n++];
	f->head = head;
	f->name_len = len;
	return f;
}

/* Take the family that begins at `at`; returns its end. */
static const char *
take_family(struct page *p, const char *at)
{
	const char *samples = at, *end;
	struct family *f;

	while (samples[0] == '#' && samples[strcspn(samples, "\n")] == '\n' &&
	    (samples == at || strncmp(samples, "# HELP ", 7) != 0))
		samples += strcspn(samples, "\n") + 1;
	/* Its first line has no end, because the answer is cut. */
	if (samples == at)
		return at + strlen(at);
	f = family_of(p, at);
	end = samples;
	while (*end != '\0' && *end != '#') {
		end += strcspn(end, "\n");
		end += *end == '\n';
	}
	if (f != NULL && f->head_len == 0)
		f->head_len = (size_t)(samples - f->head);
	if (f != NULL && f->n < SERVICES_MAX) {
		f->samples[f->n].at = samples;
		f->samples[f->n].len = (size_t)(end - samples);
		f->n++;
	}
	return end;
}

static void
take_text(struct page *p, const char *at)
{
	while ((at = strstr(at, "# HELP ")) != NULL)
		at = take_family(p, at);
}

/* services */

/* The service's own name for itself, as the value of a label. */
static void
learn_name(struct reply *r)
{
	static const char sample[] = "\nprefork_up{service=\"";
	const char *at = r->text != NULL ? strstr(r->text, sample) : NULL;
	size_t n = 0;

	if (at == NULL)
		return;
	at += strlen(sample);
	while (at[n] != '"' && at[n] != '\0' && at[n] != '\n')
		n += at[n] == '\\' && at[n + 1] != '\0' ? 2 : 1;
	if (at[n] != '"' || n >= sizeof(r->service.name))
		return;
	memcpy(r->service.name, at, n);
	r->service.name[n] = '\0';
	find_learn(&r->service);
}

/* Whether an earlier reply, or one that came, has the name already. */
static bool
is_doubled(const struct reply *list, int n, int i)
{
	for (int k = 0; k < n; k++) {
		if (strcmp(list[k].service.name, list[i].service.name) != 0)
			continue;
		if (k != i &&
		    (k < i ? list[k].text != NULL || list[i].text == NULL
			   : list[i].text == NULL && list[k].text != NULL))
			return true;
	}
	return false;
}

static void
write_own(FILE *f, bool open, int n)
{
	const char *suffix = open ? "" : "_total";

	fprintf(f,
	    "# HELP prefork_exporter_build_info The version of "
	    "prefork-exporter.\n"
	    "# TYPE prefork_exporter_build_info gauge\n"
	    "prefork_exporter_build_info{version=\"%s\"} 1\n"
	    "# HELP prefork_exporter_services Services that were asked.\n"
	    "# TYPE prefork_exporter_services gauge\n"
	    "prefork_exporter_services %d\n"
	    "# HELP prefork_exporter_evicted_connections%s Connections cut off "
	    "because they were slow, or in favour of others.\n"
	    "# TYPE prefork_exporter_evicted_connections%s counter\n"
	    "prefork_exporter_evicted_connections_total %llu\n",
	    PFK_VERSION, n, suffix, suffix, (unsigned long long)door_evicted());
	if (open)
		fputs("# EOF\n", f);
}

static void
write_page(FILE *f, const struct page *p, const struct reply *list, int n)
{
	for (int i = 0; i < p->n; i++) {
		const struct family *a = &p->families[i];

		if (i == 0 && n == 0)
			continue;
		fwrite(a->head, 1, a->head_len, f);
		for (int k = 0; k < a->n; k++)
			fwrite(a->samples[k].at, 1, a->samples[k].len, f);
		for (int k = 0; i == 0 && k < n; k++) {
			if (list[k].text == NULL && !is_doubled(list, n, k))
				fprintf(f, "prefork_up{service=\"%s\"} 0\n",
				    list[k].service.name);
		}
	}
}

char *
merge_metrics(struct reply *list, int n, bool open, size_t *len)
{
	struct page p = {calloc(FAMILIES_MAX, sizeof(*p.families)), 1};
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (p.families == NULL || f == NULL)
		goto err1;
	p.families[0].head = up_text;
	p.families[0].head_len = strlen(up_text);
	p.families[0].name_len = strlen("prefork_up");
	for (int i = 0; i < n; i++)
		learn_name(&list[i]);
	for (int i = 0; i < n; i++) {
		if (list[i].text == NULL)
			continue;
		if (is_doubled(list, n, i))
			pfk_log(PFK_WARNING,
			    "left out %s: another service has the name %s, too; "
			    "give one of them another --name",
			    list[i].service.path, list[i].service.name);
		else
			take_text(&p, list[i].text);
	}
	write_page(f, &p, list, n);
	write_own(f, open, n);
err1:
	free(p.families);
	if (f != NULL && fclose(f) != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

/* JSON */

static void
write_string(FILE *f, const char *s)
{
	putc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			putc('\\', f);
		putc((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s, f);
	}
	putc('"', f);
}

char *
merge_json(struct reply *list, int n, const char *key, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (f == NULL)
		return NULL;
	fputs("{\"services\": [", f);
	for (int i = 0; i < n; i++) {
		const struct reply *r = &list[i];

		fprintf(f, "%s{\"socket\": ", i > 0 ? ", " : "");
		write_string(f, r->service.path);
		fprintf(f, ", \"up\": %s, \"%s\": ",
		    r->text != NULL ? "true" : "false",
		    r->text != NULL ? key : "error");
		if (r->text != NULL)
			fwrite(r->text, 1, strcspn(r->text, "\n"), f);
		else
			write_string(f, r->error);
		putc('}', f);
	}
	fputs("]}\n", f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* health */

static const char *
fault_of(const struct reply *r, bool ready)
{
	const char *at;

	if (r->text == NULL)
		return r->error;
	at = strstr(r->text, "\nprefork_ready{");
	if (!ready || at == NULL)
		return NULL;
	at += 1 + strcspn(at + 1, "\n");
	return strncmp(at - 2, " 1", 2) == 0 ? NULL : "it starts or stops";
}

bool
merge_health(const struct reply *list, int n, bool ready, char *text,
    size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	if (n == 0)
		strlcpy(text, "no service is running\n", size);
	for (int i = 0; i < n && len < size; i++) {
		const char *fault = fault_of(&list[i], ready);

		if (fault != NULL)
			len += (size_t)snprintf(text + len, size - len,
			    "%s: %s\n", list[i].service.path, fault);
	}
	if (text[0] != '\0')
		return false;
	strlcpy(text, "ok\n", size);
	return true;
}
