/*
 * oom.h: which process the kernel ends first when memory runs out.
 */
#ifndef PFK_BASE_OOM_H
#define PFK_BASE_OOM_H

/*
 * Make the kernel's out-of-memory killer prefer this process to its parent, by
 * its oom_score_adj (proc(5)).  A process that was exempted (-1000) stays so.
 * Where the file cannot be written nothing changes.
 */
void pfk__oom_go_first(void);

#endif
