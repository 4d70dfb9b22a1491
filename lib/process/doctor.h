/*
 * doctor.h: find faults in a service's surroundings and settings.
 *
 * A finding is a warning, which something is to be done about, or information.
 * It has one line: the fact, why it matters, and the cure.
 */
#ifndef PFK_PROCESS_DOCTOR_H
#define PFK_PROCESS_DOCTOR_H

#include <stdbool.h>
#include <stdio.h>

#include "process/facts.h"

#define PFK__FINDINGS_MAX 40

struct pfk__finding {
	bool warning;
	const char *name;
	char text[300];
	char cure[160];
};

struct pfk__findings {
	struct pfk__finding list[PFK__FINDINGS_MAX];
	int n;
};

void pfk__doctor_judge(struct pfk__findings *d, const struct pfk__facts *f);

void pfk__doctor_text(FILE *f, const struct pfk__findings *d);
/* An array of objects. */
void pfk__doctor_json(FILE *f, const struct pfk__findings *d);

#endif
