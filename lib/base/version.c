/*
 * version.c: the version of the library that a program runs with.
 *
 * Layer: base.
 */
#include <prefork.h>

unsigned
pfk_version_number(void)
{
	return PFK_VERSION_NUMBER;
}
