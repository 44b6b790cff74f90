/*
 * The floor below gospy's pauses: the same stop and the same reads as gospy makes, and nothing else.
 *
 *   floor PID PLAN registers|gs|all|clone
 *
 * Stops every thread of PID, copies what PLAN lists, lets the threads go, and prints how many nanoseconds that took, how
 * many goroutines had moved, and how many of the nanoseconds were spent until the last thread had stopped.
 * bench/pause.ts writes PLAN. It consists of 64-bit words: the numbers of records, stacks, goroutines and compared words,
 * then start and end of each record and stack, the offset of each goroutine in the copied records, and the offsets of the
 * compared words in a goroutine.
 * `registers` copies nothing. `gs` copies the records and compares the words of each goroutine with those read before.
 * `all` copies records and stacks. `clone` makes a copy-on-write child, copies nothing, and kills the child. For
 * measurements only: if it is killed in the middle of `clone`, the target may be harmed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 65536, MAX_PID = 1 << 22, MOST = 1024 };

static pid_t threads[MAX_THREADS];
static int count;
static char known[MAX_PID + 1];
static struct user_regs_struct registers[MAX_THREADS];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Seizes the threads that are not seized yet. Returns how many. */
static int seize_new(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *dir = opendir(path);
  if (dir == NULL) die(path);
  int found = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    pid_t tid = atoi(entry->d_name);
    if (tid <= 0 || tid > MAX_PID || known[tid] || count == MAX_THREADS || ptrace(PTRACE_SEIZE, tid, 0, 0) != 0) continue;
    known[tid] = 1;
    threads[count++] = tid;
    found++;
  }
  closedir(dir);
  return found;
}

static void stop_all(pid_t pid) {
  int first = 0;
  do {
    for (int i = first; i < count; i++) ptrace(PTRACE_INTERRUPT, threads[i], 0, 0);
    for (int i = first; i < count; i++) {
      int status;
      if (waitpid(threads[i], &status, __WALL) != threads[i]) die("waitpid");
      ptrace(PTRACE_GETREGS, threads[i], 0, &registers[i]);
    }
    first = count;
  } while (seize_new(pid) > 0);
}

static void let_go(void) {
  for (int i = 0; i < count; i++) ptrace(PTRACE_DETACH, threads[i], 0, 0);
}

struct reads {
  uint64_t n;
  struct iovec *remote;
  char *buffer;
};

static struct reads reads_of(const uint64_t *pairs, uint64_t n) {
  struct reads reads = {n, calloc(n + 1, sizeof(struct iovec)), NULL};
  size_t size = 0;
  for (uint64_t i = 0; i < n; i++) {
    reads.remote[i].iov_base = (void *)pairs[2 * i];
    reads.remote[i].iov_len = pairs[2 * i + 1] - pairs[2 * i];
    size += reads.remote[i].iov_len;
  }
  reads.buffer = malloc(size + 1);
  memset(reads.buffer, 1, size + 1);
  return reads;
}

static void copy(pid_t pid, const struct reads *reads) {
  char *to = reads->buffer;
  for (uint64_t i = 0; i < reads->n; i += MOST) {
    uint64_t n = reads->n - i < MOST ? reads->n - i : MOST;
    size_t size = 0;
    for (uint64_t j = 0; j < n; j++) size += reads->remote[i + j].iov_len;
    struct iovec local = {to, size};
    process_vm_readv(pid, &local, 1, &reads->remote[i], n, 0);
    to += size;
  }
}

/* Makes the stopped thread call clone3 to copy the process. Returns the pid of the copy. */
static pid_t clone_child(pid_t tid, const struct user_regs_struct *before) {
  static const uint64_t args[11] = {0x100000000u /* CLONE_CLEAR_SIGHAND */, 0, 0, 0, 0, 4096, 4096};
  struct user_regs_struct regs = *before;
  uint64_t at = (regs.rsp - 4096) & ~(uint64_t)15;
  uint64_t kept[11];
  struct iovec mine = {kept, sizeof kept}, its = {(void *)at, sizeof kept};
  if (process_vm_readv(tid, &mine, 1, &its, 1, 0) != (ssize_t)sizeof kept) die("reading the thread's stack");
  mine.iov_base = (void *)args;
  if (process_vm_writev(tid, &mine, 1, &its, 1, 0) != (ssize_t)sizeof kept) die("writing the thread's stack");
  ptrace(PTRACE_SETOPTIONS, tid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
  regs.rip = before->rip - 2; /* the SYSCALL instruction: in a system call, rip points after it */
  regs.rax = SYS_clone3;
  regs.orig_rax = (uint64_t)-1;
  regs.rdi = at;
  regs.rsi = 88;
  ptrace(PTRACE_SETREGS, tid, 0, &regs);
  int status;
  do {
    ptrace(PTRACE_SYSCALL, tid, 0, 0);
    if (waitpid(tid, &status, __WALL) != tid) die("waitpid");
    ptrace(PTRACE_GETREGS, tid, 0, &regs);
  } while (WSTOPSIG(status) != (SIGTRAP | 0x80) || (int64_t)regs.rax == -ENOSYS);
  mine.iov_base = kept;
  process_vm_writev(tid, &mine, 1, &its, 1, 0);
  pid_t child = (pid_t)regs.rax;
  regs = *before;
  /* The kernel will not restart the interrupted call, since it has seen another one in the meantime. */
  if ((int64_t)regs.rax <= -512 && (int64_t)regs.rax >= -516) regs.rax = (uint64_t)-EINTR;
  regs.orig_rax = (uint64_t)-1;
  ptrace(PTRACE_SETREGS, tid, 0, &regs);
  return child;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  pid_t pid = atoi(argv[1]);
  const char *mode = argv[3];
  int fd = open(argv[2], O_RDONLY);
  off_t size = lseek(fd, 0, SEEK_END);
  const uint64_t *plan = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (plan == MAP_FAILED) die(argv[2]);
  uint64_t words = plan[3], gs = plan[2];
  struct reads records = reads_of(plan + 4, plan[0]);
  struct reads stacks = reads_of(plan + 4 + 2 * plan[0], plan[1]);
  const uint64_t *at = plan + 4 + 2 * (plan[0] + plan[1]), *word = at + gs;
  uint32_t *before = calloc(gs * words + 1, sizeof *before);
  copy(pid, &records);
  copy(pid, &stacks);
  for (uint64_t i = 0; i < gs; i++) {
    for (uint64_t j = 0; j < words; j++) memcpy(&before[i * words + j], records.buffer + at[i] + word[j], 4);
  }
  setpriority(PRIO_PROCESS, 0, -20);

  if (seize_new(pid) == 0) die("seize");
  uint64_t begun = now(), moved = 0;
  pid_t child = 0;
  stop_all(pid);
  uint64_t stopped = now();
  if (strcmp(mode, "clone") == 0) {
    int idle = 0;
    for (int i = 0; i < count; i++) if (registers[i].orig_rax == SYS_futex) idle = i;
    child = clone_child(threads[idle], &registers[idle]);
  } else if (strcmp(mode, "registers") != 0) {
    copy(pid, &records);
    for (uint64_t i = 0; i < gs; i++) {
      uint32_t differ = 0, value;
      for (uint64_t j = 0; j < words; j++) {
        memcpy(&value, records.buffer + at[i] + word[j], 4);
        differ |= value ^ before[i * words + j];
      }
      moved += differ != 0;
    }
    if (strcmp(mode, "all") == 0) copy(pid, &stacks);
  }
  let_go();
  uint64_t ended = now();
  if (child > 0) {
    kill(child, SIGKILL);
    int status;
    while (waitpid(child, &status, __WALL) == child && !WIFSIGNALED(status)) ptrace(PTRACE_CONT, child, 0, 0);
  }
  printf("%llu %llu %llu\n", (unsigned long long)(ended - begun), (unsigned long long)moved,
         (unsigned long long)(stopped - begun));
  return 0;
}
