/*
 * report.h: the state of a service for prefork-ctl.
 *
 * prefork-ctl(8) documents the JSON: names stay, new ones may come.
 */
#ifndef PFK_PROCESS_REPORT_H
#define PFK_PROCESS_REPORT_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct pfk__json;
struct pfk__master;

/* report.c */
void pfk__report_text(FILE *f, const struct pfk__master *m);
void pfk__report_json(FILE *f, const struct pfk__master *m);

/* dump.c */
void pfk__report_dump(FILE *f, const struct pfk__master *m);

/* For parts of reports: */
/* the seconds since a time of the loop's clock; */
double pfk__report_since(const struct pfk__master *m, uint64_t ns);
/* the two largest units: 3d 4h, 2h 5m, 7m 12s, 4s; returns dst; */
const char *pfk__report_age(char *dst, size_t size, double seconds);
/* RFC 3339, in UTC. */
void pfk__report_time(struct pfk__json *j, const char *key, time_t t);

#endif
