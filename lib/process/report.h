/*
 * report.h: the state of a service for prefork-ctl.
 *
 * prefork-ctl(8) documents the JSON: names stay, new ones may come.
 */
#ifndef PFK_PROCESS_REPORT_H
#define PFK_PROCESS_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct pfk__json;
struct pfk__master;
struct pfk__reload_note;

/* report_text.c, report_json.c */
void pfk__report_text(FILE *f, const struct pfk__master *m);
void pfk__report_json(FILE *f, const struct pfk__master *m);

/* metrics.c: for Prometheus, or as OpenMetrics has it. */
void pfk__report_metrics(FILE *f, const struct pfk__master *m, bool open);

/* dump.c */
void pfk__report_dump(FILE *f, const struct pfk__master *m);

/* report.c, for parts of reports: */
/* "starting", "running", "reloading", "stopping"; */
const char *pfk__report_state(const struct pfk__master *m);
/* "none", "running", "ok", "refused", "failed"; */
const char *pfk__report_reload(const struct pfk__reload_note *r);
const char *pfk__report_level(void);
/* of the program; */
const char *pfk__report_version(const struct pfk__master *m);
/* whether its file was written since it was read; */
bool pfk__report_is_outdated(const struct pfk__master *m);
/* workers that serve, and those that are there and stand still; */
int pfk__report_serving(const struct pfk__master *m);
int pfk__report_stalled(const struct pfk__master *m);
/* the seconds since a time of the loop's clock; */
double pfk__report_since(const struct pfk__master *m, uint64_t ns);
/* the two largest units: 3d 4h, 2h 5m, 7m 12s, 4s; returns dst; */
const char *pfk__report_age(char *dst, size_t size, double seconds);
/* RFC 3339, in UTC. */
void pfk__report_time(struct pfk__json *j, const char *key, time_t t);

#endif
