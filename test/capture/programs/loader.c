/* Runs a static program from memory that no file is mapped into, as executable packers do: loader PROGRAM [ARG...] */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void load(int fd, const Elf64_Phdr *segment) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t start = segment->p_vaddr / page * page;
  size_t size = segment->p_vaddr + segment->p_memsz - start;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap((void *)start, size, PROT_READ | PROT_WRITE, flags, -1, 0) != (void *)start) exit(1);
  for (size_t done = 0; done < segment->p_filesz;) {
    ssize_t n = pread(fd, (char *)segment->p_vaddr + done, segment->p_filesz - done, (off_t)(segment->p_offset + done));
    if (n <= 0) exit(1);
    done += (size_t)n;
  }
  int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                   (segment->p_flags & PF_X ? PROT_EXEC : 0);
  if (mprotect((void *)start, size, protection) != 0) exit(1);
}

int main(int argc, char **argv, char **envp) {
  Elf64_Ehdr header;
  Elf64_Phdr segments[32];
  int fd = open(argv[1], O_RDONLY);
  if (argc < 2 || fd < 0 || read(fd, &header, sizeof header) != sizeof header || header.e_phnum > 32) return 1;
  size_t size = header.e_phnum * sizeof *segments;
  if (pread(fd, segments, size, (off_t)header.e_phoff) != (ssize_t)size) return 1;
  for (int i = 0; i < header.e_phnum; i++) {
    if (segments[i].p_type == PT_LOAD) load(fd, &segments[i]);
  }
  close(fd);
  char **end = envp;
  while (*end != NULL) end++;
  for (Elf64_auxv_t *aux = (Elf64_auxv_t *)(end + 1); aux->a_type != AT_NULL; aux++) {
    if (aux->a_type == AT_ENTRY) aux->a_un.a_val = header.e_entry;
    if (aux->a_type == AT_PHDR || aux->a_type == AT_BASE) aux->a_un.a_val = 0;
  }
  /* The kernel left argc, argv, the environment and the vector in a row: without the loader's name they begin later. */
  *(uintptr_t *)argv = (uintptr_t)(argc - 1);
#ifdef __x86_64__
  __asm__ volatile("mov %0, %%rsp\n\txor %%edx, %%edx\n\tjmp *%1" : : "r"(argv), "r"(header.e_entry) : "memory", "rdx");
#else
  __asm__ volatile("mov sp, %0\n\tbr %1" : : "r"(argv), "r"(header.e_entry) : "memory");
#endif
  return 1;
}
