/*
 * Preloaded, it makes lists of the threads of other processes as the kernel's sometimes are: it leaves the newest thread out of
 * all but every fourth. The kernel does where a thread ends while the list is made that stands before it (proc_task_readdir
 * in fs/proc/base.c).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fnmatch.h>
#include <stdlib.h>

typedef int (*filter)(const struct dirent64 *);
typedef int (*order)(const struct dirent64 **, const struct dirent64 **);
typedef int (*scan)(const char *, struct dirent64 ***, filter, order);

int scandir64(const char *folder, struct dirent64 ***names, filter filter, order order) {
  static int lists;
  scan next = (scan)dlsym(RTLD_NEXT, "scandir64");
  int count = next(folder, names, filter, order);
  if (fnmatch("/proc/[0-9]*/task", folder, 0) != 0 || count < 2 || ++lists % 4 == 0) return count;
  int newest = 0;
  for (int i = 1; i < count; i++) {
    if (atoi((*names)[i]->d_name) > atoi((*names)[newest]->d_name)) newest = i;
  }
  free((*names)[newest]);
  (*names)[newest] = (*names)[count - 1];
  return count - 1;
}
