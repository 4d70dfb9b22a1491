/*
 * tree.h: a temporary directory with files, for code that reads /proc and /sys.
 */
#ifndef T_TREE_H
#define T_TREE_H

/* Make the directory and return its path; skips the test if that fails. */
const char *tree_make(void);

/* Write a file of that name, with the directories that it needs, or exit. */
void tree_put(const char *name, const char *text);

/* Remove it. */
void tree_remove(void);

#endif
