/*
 * http.c: requests and answers, by libmicrohttpd.
 *
 * Its epoll set is one descriptor of the loop.  A request that needs the services
 * is suspended until they have answered; those that need the same answers
 * meanwhile share them, so that a flood asks the services no more often.
 */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "door.h"

/* For a request's headers and its answer's. */
#define MEMORY_LIMIT 16384

#define TEXT "text/plain; charset=utf-8"

enum kind { METRICS, STATUS, DOCTOR, LIVE, READY, PAGE, N_KINDS };

static const struct route {
	const char *path, *type;
	enum question question;
} routes[N_KINDS] = {[METRICS] = {"/metrics",
			 "text/plain; version=0.0.4; charset=utf-8",
			 ASK_METRICS},
    [STATUS] = {"/status.json", "application/json", ASK_STATUS},
    [DOCTOR] = {"/doctor.json", "application/json", ASK_DOCTOR},
    [LIVE] = {"/livez", TEXT, ASK_METRICS},
    [READY] = {"/readyz", TEXT, ASK_METRICS},
    [PAGE] = {"/", "text/html; charset=utf-8", ASK_END}};

#define OPENMETRICS "application/openmetrics-text"
#define OPEN_TYPE OPENMETRICS "; version=1.0.0; charset=utf-8"

/* The text of an answer, shared by requests. */
struct body {
	char *text;
	size_t len;
	unsigned status;
	int users;
};

struct request {
	TAILQ_ENTRY(request) link; /* of its flight */
	struct MHD_Connection *connection;
	enum kind kind;
	bool open;         /* OpenMetrics */
	struct body *body; /* NULL until there is one */
};

/* One question to the services, and the requests that wait for it. */
struct flight {
	enum question question;
	struct gather *gather;
	TAILQ_HEAD(, request) requests;
};

static struct {
	struct pfk_loop *loop;
	const struct settings *settings;
	struct MHD_Daemon *daemon;
	struct pfk_io *io;
	struct pfk_timer *timer;
	struct flight flights[ASK_END];
	struct conn *adding;
} http;

/* page.html, and a zero. */
__asm__(".section .rodata\n"
	"exporter_page: .incbin \"cmd/prefork-exporter/page.html\"\n"
	".byte 0\n"
	".previous\n");
extern const char exporter_page[] __attribute__((visibility("hidden")));

/* bodies */

static void
body_release(void *arg)
{
	struct body *b = arg;

	if (b == NULL || --b->users > 0)
		return;
	free(b->text);
	free(b);
}

/* Takes text over; NULL is an answer, too. */
static struct body *
body_new(char *text, size_t len, unsigned status)
{
	struct body *b = calloc(1, sizeof(*b));

	if (b == NULL || text == NULL) {
		free(b);
		free(text);
		return NULL;
	}
	*b = (struct body){text, len, status, 1};
	return b;
}

static struct body *
health(struct reply *list, int n, bool ready)
{
	char text[SERVICES_MAX * 300];
	bool good = merge_health(list, n, ready, text, sizeof(text));

	return body_new(strdup(text), strlen(text),
	    good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE);
}

static struct body *
compose(enum kind kind, bool open, struct reply *list, int n)
{
	size_t len = 0;
	char *text = NULL;

	if (kind == LIVE || kind == READY)
		return health(list, n, kind == READY);
	if (kind == METRICS)
		text = merge_metrics(list, n, open, &len);
	else
		text = merge_json(list, n, kind == STATUS ? "status" : "doctor",
		    &len);
	return body_new(text, len, MHD_HTTP_OK);
}

/* answers */

static void
add_headers(struct MHD_Response *r, const char *type)
{
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	/* A place is for one request. */
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
}

static enum MHD_Result
queue(struct MHD_Connection *connection, unsigned status,
    struct MHD_Response *r)
{
	enum MHD_Result result = MHD_queue_response(connection, status, r);

	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result
say(struct MHD_Connection *connection, unsigned status, const char *text)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text),
	    (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

	if (r == NULL)
		return MHD_NO;
	add_headers(r, TEXT);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	return queue(connection, status, r);
}

static enum MHD_Result
answer_body(struct request *q)
{
	struct body *b = q->body;
	struct MHD_Response *r;

	q->body = NULL;
	r = MHD_create_response_from_buffer_with_free_callback_cls(b->len,
	    b->text, body_release, b);
	if (r == NULL) {
		body_release(b);
		return MHD_NO;
	}
	add_headers(r, q->open ? OPEN_TYPE : routes[q->kind].type);
	return queue(q->connection, b->status, r);
}

/* Only a script and a style with this answer's nonce are run. */
static enum MHD_Result
answer_page(struct MHD_Connection *connection)
{
	static const char mark[] = "@@@@@@@@@@@@@@@@";
	size_t len = strlen(exporter_page);
	char *text = strdup(exporter_page), nonce[sizeof(mark)], policy[256];
	struct MHD_Response *r;

	if (text == NULL)
		return MHD_NO;
	snprintf(nonce, sizeof(nonce), "%08x%08x", arc4random(), arc4random());
	for (char *at = text; (at = strstr(at, mark)) != NULL;)
		memcpy(at, nonce, strlen(nonce));
	r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (r == NULL) {
		free(text);
		return MHD_NO;
	}
	snprintf(policy, sizeof(policy),
	    "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
	    "connect-src 'self'; img-src data:; base-uri 'none'; form-action "
	    "'none'; frame-ancestors 'none'",
	    nonce, nonce);
	add_headers(r, routes[PAGE].type);
	MHD_add_response_header(r, "Content-Security-Policy", policy);
	MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	return queue(connection, MHD_HTTP_OK, r);
}

/* flights */

static void
on_gathered(void *arg)
{
	struct flight *f = arg;
	struct body *bodies[N_KINDS] = {NULL};
	struct request *q, *next;
	int n;
	struct reply *list = gather_replies(f->gather, &n);

	TAILQ_FOREACH_SAFE(q, &f->requests, link, next) {
		struct body **b = &bodies[q->kind];

		if (*b == NULL)
			*b = compose(q->kind, q->open, list, n);
		if (*b != NULL)
			(*b)->users++;
		q->body = *b;
		TAILQ_REMOVE(&f->requests, q, link);
		MHD_resume_connection(q->connection);
	}
	for (int i = 0; i < N_KINDS; i++)
		body_release(bodies[i]);
	gather_free(f->gather);
	f->gather = NULL;
	http_wake();
}

static enum MHD_Result
await(struct request *q)
{
	enum question question = q->open ? ASK_OPENMETRICS
					 : routes[q->kind].question;
	struct flight *f = &http.flights[question];

	if (f->gather == NULL) {
		f->gather = gather_start(http.loop, http.settings, question,
		    on_gathered, f);
		if (f->gather == NULL)
			return say(q->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			    "out of memory\n");
	}
	MHD_suspend_connection(q->connection);
	TAILQ_INSERT_TAIL(&f->requests, q, link);
	return MHD_YES;
}

/* requests */

/* The weight of a media type in an Accept header, 0 to 1. */
static double
weight_of(const char *accept, const char *type)
{
	const char *at = strcasestr(accept, type), *end, *q;

	if (at == NULL)
		return 0;
	end = at + strcspn(at, ",");
	q = strcasestr(at, "q=");
	return q != NULL && q < end ? strtod(q + 2, NULL) : 1;
}

static bool
wants_openmetrics(struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(connection,
	    MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	double open;

	if (accept == NULL)
		return false;
	open = weight_of(accept, OPENMETRICS);
	return open > 0 && open >= weight_of(accept, "text/plain");
}

/* Its headers are complete. */
static enum MHD_Result
begin(struct MHD_Connection *connection, const char *url, const char *method,
    void **context)
{
	struct request *q;
	int kind = 0;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
		    "only GET and HEAD are answered\n");
	while (kind < N_KINDS && strcmp(routes[kind].path, url) != 0)
		kind++;
	if (kind == N_KINDS)
		return say(connection, MHD_HTTP_NOT_FOUND,
		    "here are /, /metrics, /status.json, /doctor.json, /livez "
		    "and /readyz\n");
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return MHD_NO;
	q->connection = connection;
	q->kind = (enum kind)kind;
	q->open = kind == METRICS && wants_openmetrics(connection);
	*context = q;
	return MHD_YES;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size,
    void **context)
{
	struct request *q = *context;
	const union MHD_ConnectionInfo *info;

	(void)arg;
	(void)version;
	(void)data;
	if (q == NULL)
		return begin(connection, url, method, context);
	if (*size != 0) {
		*size = 0;
		return MHD_YES;
	}
	if (q->body != NULL)
		return answer_body(q);
	info = MHD_get_connection_info(connection,
	    MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	if (info == NULL || info->socket_context == NULL)
		return MHD_NO;
	/* After a wait without a result. */
	if (((struct conn *)info->socket_context)->asked)
		return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
		    "out of memory\n");
	door_asked(info->socket_context);
	return q->kind == PAGE ? answer_page(connection) : await(q);
}

static void
on_completed(void *arg, struct MHD_Connection *connection, void **context,
    enum MHD_RequestTerminationCode code)
{
	struct request *q = *context;

	(void)arg;
	(void)connection;
	(void)code;
	if (q != NULL)
		body_release(q->body);
	free(q);
	*context = NULL;
}

/* connections */

static void
on_connection(void *arg, struct MHD_Connection *connection, void **context,
    enum MHD_ConnectionNotificationCode code)
{
	(void)arg;
	(void)connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = http.adding;
	else if (*context == http.adding)
		http.adding = NULL;
	else
		door_gone(*context);
}

int
http_add(struct conn *c)
{
	enum MHD_Result result;

	http.adding = c;
	result = MHD_add_connection(http.daemon, c->fd, &c->from.sa,
	    c->from.len);
	http.adding = NULL;
	return result == MHD_YES ? 0 : -1;
}

static void
on_time(void *arg)
{
	(void)arg;
	http_wake();
}

void
http_wake(void)
{
	unsigned long long ms;

	MHD_run(http.daemon);
	if (MHD_get_timeout(http.daemon, &ms) == MHD_YES)
		pfk_timer_set(&http.timer, http.loop, ms * PFK_MSEC_NS, on_time,
		    NULL);
	else
		pfk_timer_cancel(&http.timer);
}

static void
on_epoll(void *arg, unsigned ready)
{
	(void)arg;
	(void)ready;
	http_wake();
}

/* It writes of each broken request. */
static void
log_debug(void *arg, const char *fmt, va_list ap)
{
	char line[512];

	(void)arg;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	pfk_log(PFK_DEBUG, "libmicrohttpd: %s", line);
}

int
http_start(struct pfk_loop *l, const struct settings *s)
{
	const union MHD_DaemonInfo *info = NULL;

	http.loop = l;
	http.settings = s;
	for (int i = 0; i < ASK_END; i++)
		TAILQ_INIT(&http.flights[i].requests);
	http.daemon = MHD_start_daemon(MHD_USE_EPOLL |
		MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
		MHD_USE_ERROR_LOG,
	    0, NULL, NULL, on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER,
	    log_debug, NULL, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)HTTP_CONNS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)MEMORY_LIMIT, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
	    NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (http.daemon != NULL)
		info = MHD_get_daemon_info(http.daemon,
		    MHD_DAEMON_INFO_EPOLL_FD);
	if (info != NULL)
		http.io = pfk_io_add(l, info->epoll_fd, PFK_READ, on_epoll,
		    NULL);
	if (http.io != NULL)
		return 0;
	pfk_complain("cannot start libmicrohttpd: %s", strerror(errno));
	return -1;
}

void
http_stop(void)
{
	/* libmicrohttpd cannot stop with suspended connections. */
	for (int i = 0; i < ASK_END; i++) {
		struct flight *f = &http.flights[i];
		struct request *q;

		while ((q = TAILQ_FIRST(&f->requests)) != NULL) {
			TAILQ_REMOVE(&f->requests, q, link);
			MHD_resume_connection(q->connection);
		}
		if (f->gather != NULL)
			gather_free(f->gather);
		f->gather = NULL;
	}
	pfk_timer_cancel(&http.timer);
	pfk_io_cancel(&http.io);
	MHD_run(http.daemon);
	MHD_stop_daemon(http.daemon);
	http.daemon = NULL;
}
