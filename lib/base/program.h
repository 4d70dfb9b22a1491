/*
 * program.h: the file and the arguments of this program, to execute it again.
 */
#ifndef PFK_BASE_PROGRAM_H
#define PFK_BASE_PROGRAM_H

/*
 * Note both; to be called before a title overwrites the arguments.  The file is
 * the name by which the program was called, which may be a link to the version
 * in force, if it leads to the file that runs; otherwise that file.  One that
 * replaces another keeps its name.  -1: errno.
 */
int pfk__program_note(void);

/* The noted program: an absolute path, and argv; or NULL. */
const char *pfk__program_path(void);
char *const *pfk__program_argv(void);

#endif
