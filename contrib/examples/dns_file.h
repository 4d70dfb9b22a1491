/*
 * dns_file.h: the file of a zone, in the form of RFC 1035, section 5, without
 * $INCLUDE, with TTLs in seconds: a SOA record first, then records of the types in
 * kinds[].
 */
#include <arpa/inet.h>
#include <prefork.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "dns_zone.h"

#define WORDS 300 /* of a record */
#define DATA_BYTES 65000

struct reader {
	char *at;
	int line;              /* the current one */
	char *word[WORDS + 1]; /* of a record, then NULL */
	const char *fault;     /* the word at fault */
	struct name origin, owner;
	uint32_t ttl, usual;
	bool has_usual; /* $TTL */
};

static char *
skip(char *s, const char *stops)
{
	while (*s != '\0' && strchr(stops, *s) == NULL)
		s += s[0] == '\\' && s[1] != '\0' ? 2 : 1;
	return s;
}

/* Divide the next record into words; each parser returns the reason of a failure. */
static const char *
divide(struct reader *r)
{
	static char same[] = "";
	int n = 0, open = 0;

	r->line++;
	if (isspace(*r->at))
		r->word[n++] = same;
	for (char c; (c = *r->at) != '\0' && n < WORDS;) {
		const char *stops = c == '"' ? "\"\n" : " \t\r\n;()\"";
		bool word = c == '"' || strchr(stops, c) == NULL;

		if (word) {
			r->word[n++] = r->at += c == '"';
			r->at = skip(r->at, stops);
			if (c == '"' && *r->at != '"')
				return "a quoted word must end in its line";
			if (c != '"')
				continue;
		}
		*r->at++ = '\0';
		if (c == ';')
			r->at += strcspn(r->at, "\n");
		open += (c == '(') - (c == ')');
		if (c == '\n' && open == 0)
			break;
		r->line += c == '\n';
	}
	r->word[n] = NULL;
	r->fault = "";
	return n == WORDS ? "too many words"
	    : open != 0   ? "a bracket without its other one"
			  : NULL;
}

static bool
to_name(const struct reader *r, const char *text, struct name *n)
{
	const uint8_t *end = n->wire;
	int whole = 0;

	n->wire[0] = 0;
	if (strcmp(text, "@") != 0)
		whole = ns_name_pton(text, n->wire, sizeof(n->wire));
	if (whole == -1 || (whole == 0 && r->origin.len == 0))
		return false;
	ns_name_skip(&end, n->wire + sizeof(n->wire));
	n->len = (size_t)(end - n->wire);
	if (whole == 1)
		return true;
	if (n->len - 1 + r->origin.len > sizeof(n->wire))
		return false;
	memcpy(n->wire + n->len - 1, r->origin.wire, r->origin.len);
	n->len += r->origin.len - 1;
	return true;
}

static bool
to_number(const char *text, uint64_t max, uint64_t *n)
{
	char *end;

	*n = strtoull(text, &end, 10);
	return isdigit(*text) && *end == '\0' && *n <= max;
}

/* A string of TXT with its length before it; the bytes taken, or 0. */
static size_t
to_string(const char *s, uint8_t *data)
{
	size_t n = 0;

	for (; *s != '\0'; s++) {
		/* A byte by its number is not known here. */
		if (n == 255 || (*s == '\\' && isdigit(*++s)))
			return 0;
		data[++n] = (uint8_t)*s;
	}
	data[0] = (uint8_t)n;
	return n + 1;
}

static const struct kind {
	const char *name;
	uint16_t type;
	const char *form; /* name, 16 or 32 bits, 4 or 6: an address, text */
} kinds[] = {{"A", ns_t_a, "4"}, {"AAAA", ns_t_aaaa, "6"},
    {"CNAME", ns_t_cname, "n"}, {"MX", ns_t_mx, "1n"}, {"NS", ns_t_ns, "n"},
    {"PTR", ns_t_ptr, "n"}, {"SOA", ns_t_soa, "nn33333"},
    {"SRV", ns_t_srv, "111n"}, {"TXT", ns_t_txt, "t"}, {NULL, 0, NULL}};

/* One value as its form says; the bytes taken, or 0. */
static size_t
to_data(const struct reader *r, char form, const char *word, uint8_t *data)
{
	struct name n;
	uint64_t value;

	switch (form) {
	case '4':
		return inet_pton(AF_INET, word, data) == 1 ? 4 : 0;
	case '6':
		return inet_pton(AF_INET6, word, data) == 1 ? 16 : 0;
	case 'n':
		if (!to_name(r, word, &n))
			return 0;
		memcpy(data, n.wire, n.len);
		return n.len;
	case 't':
		return to_string(word, data);
	default:
		if (!to_number(word, form == '1' ? UINT16_MAX : UINT32_MAX,
			&value))
			return 0;
		for (int bytes = form == '1' ? 2 : 4, i = 0; i < bytes; i++)
			data[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
		return form == '1' ? 2 : 4;
	}
}

static const char *
values(struct reader *r, const char *form, char **word, uint8_t *data,
    size_t *len)
{
	for (*len = 0; *form != '\0'; word++) {
		size_t n;

		r->fault = *word != NULL ? *word : "";
		if (*word == NULL || *len > DATA_BYTES)
			return "too few values, or too long ones";
		n = to_data(r, *form, *word, data + *len);
		if (n == 0)
			return "no such value as its type has";
		*len += n;
		form += *form != 't' || word[1] == NULL;
	}
	r->fault = *word != NULL ? *word : "";
	return *word != NULL ? "one value too many" : NULL;
}

static const char *
add(struct reader *r, struct zone *z, uint16_t type, const uint8_t *data,
    size_t len)
{
	struct record *rr;
	struct name n;
	struct node *node;
	uint32_t least;
	size_t at = 0;

	lower(&n, r->owner.wire, r->owner.len);
	r->fault = r->word[0];
	if ((type == ns_t_soa) != (z->soa == NULL))
		return "a zone has one SOA record, as its first";
	if (type == ns_t_soa)
		z->apex = n;
	while (n.len - at > z->apex.len)
		at += 1 + (size_t)n.wire[at];
	if (n.len - at != z->apex.len ||
	    memcmp(n.wire + at, z->apex.wire, z->apex.len) != 0)
		return "its name is outside of the zone";
	node = make_node(z, n.wire, n.len);
	rr = malloc(sizeof(*rr) + len);
	if (node == NULL || rr == NULL) {
		free(rr);
		return "out of memory";
	}
	*rr = (struct record){node->records, r->ttl, type, (uint16_t)len};
	memcpy(rr->data, data, len);
	node->records = rr;
	if (type == ns_t_cname)
		node->alias = rr;
	if (node->alias != NULL && rr->next != NULL)
		return "a name with a CNAME record has no other ones";
	if (type == ns_t_ns && at > 0)
		node->delegated = z->delegates = true;
	if (type == ns_t_soa) {
		memcpy(&least, data + len - 4, sizeof(least));
		least = ntohl(least);
		z->soa = rr;
		z->negative_ttl = least < rr->ttl ? least : rr->ttl;
	}
	return NULL;
}

/* $ORIGIN, $TTL, or [NAME] [TTL] [IN] TYPE VALUE... */
static const char *
record(struct reader *r, struct zone *z)
{
	uint8_t data[DATA_BYTES + 300];
	struct name origin; /* may be relative to the one before */
	const struct kind *kind = kinds;
	char **word = r->word;
	const char *reason;
	uint64_t ttl;
	size_t len;

	r->fault = word[1] != NULL ? word[1] : "";
	if (strcmp(*word, "$ORIGIN") == 0) {
		if (word[1] == NULL || !to_name(r, word[1], &origin))
			return "not a name";
		r->origin = origin;
		return NULL;
	}
	if (strcmp(*word, "$TTL") == 0) {
		if (!to_number(r->fault, INT32_MAX, &ttl))
			return "not a number of seconds";
		r->usual = (uint32_t)ttl;
		r->has_usual = true;
		return NULL;
	}
	if (r->has_usual)
		r->ttl = r->usual;
	r->fault = *word;
	if (**word == '\0' && r->owner.len == 0)
		return "the first record needs a name";
	if (**word == '$')
		return "neither $ORIGIN nor $TTL";
	if (**word != '\0' && !to_name(r, *word, &r->owner))
		return "no name, or a relative one without $ORIGIN";
	for (word++; *word != NULL; word++) {
		if (to_number(*word, INT32_MAX, &ttl))
			r->ttl = (uint32_t)ttl;
		else if (strcasecmp(*word, "IN") != 0)
			break;
	}
	r->fault = *word != NULL ? *word : "";
	while (kind->name != NULL && strcasecmp(kind->name, r->fault) != 0)
		kind++;
	if (kind->name == NULL)
		return "not a type of record that is known here";
	if (kind->type == ns_t_ns && memcmp(r->owner.wire, "\1*", 2) == 0)
		return "a wildcard is not delegated";
	reason = values(r, kind->form, word + 1, data, &len);
	return reason != NULL ? reason : add(r, z, kind->type, data, len);
}

/* The zone of a text, which is changed; or NULL with the reason in err. */
static struct zone *
zone_parse(char *text, const char *path, char *err)
{
	struct reader r = {.at = text, .fault = ""};
	struct zone *z = calloc(1, sizeof(*z));
	const char *reason = z == NULL ? "out of memory" : NULL;

	while (reason == NULL && *r.at != '\0') {
		reason = divide(&r);
		if (reason == NULL && r.word[0] != NULL &&
		    (r.word[0][0] != '\0' || r.word[1] != NULL))
			reason = record(&r, z);
	}
	if (reason == NULL && z->soa == NULL)
		reason = "there is no SOA record";
	if (reason == NULL)
		return z;
	snprintf(err, PFK_ERROR_SIZE, "%.200s:%d: '%.60s': %s", path, r.line,
	    r.fault, reason);
	zone_free(z);
	return NULL;
}

static struct zone *
zone_load(const char *path, char *err)
{
	struct zone *z = NULL;
	struct stat st;
	size_t room = 0;
	char *text = NULL;
	FILE *file = NULL;
	ssize_t len;

	/* A pipe would block. */
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		file = fopen(path, "re");
	if (file == NULL) {
		snprintf(err, PFK_ERROR_SIZE, "%.200s: not a file to read",
		    path);
		return NULL;
	}
	len = getdelim(&text, &room, '\0', file);
	if (len > 0 && text[len - 1] == '\n')
		z = zone_parse(text, path, err);
	else
		snprintf(err, PFK_ERROR_SIZE,
		    "%.200s: empty, not ended by a newline, or no text", path);
	free(text);
	fclose(file);
	return z;
}
