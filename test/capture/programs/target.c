/*
 * Programs for the tests of the stop. Each mode is a process that shows by itself whether it runs: for every line on
 * its standard input it answers how often its heart has beaten, and the longest time between two beats.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t beats, longest_gap_ns;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *heart(void *unused) {
  uint64_t last = now_ns();
  for (;;) {
    usleep(500);
    uint64_t now = now_ns();
    if (now - last > longest_gap_ns) longest_gap_ns = now - last;
    last = now;
    beats++;
  }
  return unused;
}

static void *start(void *(*body)(void *), void *arg) {
  pthread_t thread;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 256 * 1024);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  if (pthread_create(&thread, &attr, body, arg) != 0) abort();
  return NULL;
}

/* ---- signals: every value that arrives is marked once for each of two signals, and counted. */

enum { VALUES = 20000 };
static volatile unsigned char arrived[2][VALUES];
static volatile uint64_t arrivals[2], spurious;

static void on_signal(int sig, siginfo_t *info, void *context) {
  (void)context;
  int which = sig == SIGRTMIN + 1 ? 0 : 1;
  int value = info->si_value.sival_int;
  if (info->si_code != SI_QUEUE || value < 0 || value >= VALUES || arrived[which][value]) {
    __atomic_add_fetch(&spurious, 1, __ATOMIC_SEQ_CST);
    return;
  }
  arrived[which][value] = 1;
  __atomic_add_fetch(&arrivals[which], 1, __ATOMIC_SEQ_CST);
}

static void *sleeper(void *unused) {
  for (;;) pause();
  return unused;
}

static volatile uint64_t work;
static void *spinner(void *unused) {
  for (;;) work++;
  return unused;
}

/* ---- threads that come and go */

static void *nothing(void *unused) { return unused; }

static void *churner(void *unused) {
  for (;;) {
    pthread_t children[4];
    int n = 0;
    while (n < 4 && pthread_create(&children[n], NULL, nothing, NULL) == 0) n++;
    while (n > 0) pthread_join(children[--n], NULL);
  }
  return unused;
}

/* ---- a thread that sleeps where no signal reaches it: the parent of a vfork, until somebody kills the child */

static void *vforker(void *unused) {
  pid_t child = vfork();
  if (child == 0) {
    for (;;) pause();
  }
  waitpid(child, NULL, 0);
  for (;;) pause();
  return unused;
}

/* ---- a process that becomes another one over and over, from a thread that is not the first */

static char **arguments;
static void *executor(void *unused) {
  char generation[32];
  snprintf(generation, sizeof generation, "%d", atoi(arguments[2]) + 1);
  usleep(1500);
  execl("/proc/self/exe", arguments[0], arguments[1], generation, NULL);
  abort();
  return unused;
}

static int unseen(void *unused) {
  for (;;) pause();
  return unused != NULL;
}

/* Makes threads that the tracer of this one is not given: it has to find them. */
static void *spawner(void *unused) {
  enum { COUNT = 100, STACK = 16384, FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM };
  char *stacks = mmap(NULL, COUNT * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 1; i <= COUNT; i++) {
    clone(unseen, stacks + i * STACK, FLAGS | CLONE_UNTRACED, NULL);
    usleep(200);
  }
  for (;;) pause();
  return unused;
}

/* ---- memory with a known content and known holes */

static void pattern(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uint32_t *memory = mmap(NULL, 64 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < 64 * page / 4; i++) memory[i] = (uint32_t)(i * 2654435761u);
  char path[] = "/tmp/gospy-pattern-XXXXXX";
  int fd = mkstemp(path);
  unlink(path);
  if (ftruncate(fd, (off_t)(4 * page)) != 0) abort();
  char *file = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  memset(file, 'x', 4 * page);
  if (ftruncate(fd, (off_t)page) != 0) abort(); /* the pages after it are mapped, but absent */
  munmap((char *)memory + 20 * page, page);
  mprotect((char *)memory + 40 * page, page, PROT_NONE);
  printf("%p %p %zu\n", (void *)memory, (void *)file, page);
  fflush(stdout);
}

static void *answer(void *unused) {
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%llu %llu %llu %llu %llu\n", (unsigned long long)beats, (unsigned long long)longest_gap_ns,
           (unsigned long long)arrivals[0], (unsigned long long)arrivals[1], (unsigned long long)spurious);
    fflush(stdout);
  }
  exit(0);
  return unused;
}

/* ---- the id of a thread that has ended, given to the next one. For every `end` on its standard input it ends a thread, and
 * writes the id of it; for every `begin` it starts one, and writes whether it got that id. */

static volatile int may_leave;
static volatile pid_t brief_tid;

static void *brief(void *unused) {
  brief_tid = (pid_t)syscall(SYS_gettid);
  while (!may_leave) usleep(200);
  return unused;
}

static void *reuse(void *unused) {
  char line[64];
  pthread_t thread;
  pthread_create(&thread, NULL, brief, NULL);
  while (brief_tid == 0) usleep(200);
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    pid_t before = brief_tid;
    may_leave = 1;
    pthread_join(thread, NULL);
    printf("%d\n", before);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) break;
    may_leave = 0;
    brief_tid = 0;
    FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "w");
    if (last == NULL || fprintf(last, "%d", before - 1) < 0 || fclose(last) != 0) abort();
    pthread_create(&thread, NULL, brief, NULL);
    while (brief_tid == 0) usleep(200);
    puts(brief_tid == before ? "same" : "other");
    fflush(stdout);
  }
  exit(0);
  return unused;
}

static int send_signals(pid_t pid, pid_t tid, int count) {
  for (int i = 0; i < count && i < VALUES; i++) {
    union sigval value = {.sival_int = i};
    while (sigqueue(pid, SIGRTMIN + 1, value) != 0) {
      if (errno != EAGAIN) return 1;
      usleep(50);
    }
    siginfo_t info = {.si_signo = SIGRTMIN + 2, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_value = value;
    while (syscall(SYS_rt_tgsigqueueinfo, pid, tid, SIGRTMIN + 2, &info) != 0) {
      if (errno != EAGAIN) return 1;
      usleep(50);
    }
    if (i % 8 == 7) usleep(300);
  }
  return 0;
}

/* Refuses process_vm_readv or ptrace, as a container does, then becomes another program. */
static int deny(const char *what, int error, char **command) {
  unsigned call = strcmp(what, "ptrace") == 0 ? SYS_ptrace : SYS_process_vm_readv;
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 1;
  execvp(command[0], command);
  return 1;
}

/* Becomes another program in a process group of its own, as the jobs of a shell are: the kernel lets Ctrl-Z stop no others. */
static int job(char **command) {
  if (setpgid(0, 0) != 0) return 1;
  execvp(command[0], command);
  return 1;
}

/* ---- a tracer of all threads of a process: the kernel gives it those that they make. It serves none of them. */

static int trace_all(int pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  for (int found = 1; found > 0;) {
    DIR *tasks = opendir(path);
    if (tasks == NULL) return 1;
    found = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
      int tid = atoi(entry->d_name);
      if (tid > 0 && ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACECLONE) == 0) found++;
    }
    closedir(tasks);
  }
  puts("tracing");
  fflush(stdout);
  for (;;) pause();
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  int number = argc > 2 ? atoi(argv[2]) : 0;
  arguments = argv;

  if (strcmp(mode, "send") == 0) return send_signals(number, atoi(argv[3]), atoi(argv[4]));
  if (strcmp(mode, "deny") == 0) return deny(argv[2], atoi(argv[3]), argv + 4);
  if (strcmp(mode, "job") == 0) return job(argv + 2);
  if (strcmp(mode, "trace-all") == 0) return trace_all(number);
  if (strcmp(mode, "trace") == 0) {
    if (ptrace(PTRACE_SEIZE, number, 0, 0) != 0) return 1;
    puts("tracing");
    fflush(stdout);
    for (;;) pause();
  }
  if (strcmp(mode, "reuse") == 0) {
    start(reuse, NULL); /* a parent that traces its child takes a stop of the first thread for its end */
    for (;;) pause();
  }
  if (strcmp(mode, "exec") == 0 || strcmp(mode, "exec-unseen") == 0) {
    for (int i = 0; i < 3; i++) start(sleeper, NULL);
    if (strcmp(mode, "exec-unseen") == 0) start(spawner, NULL);
    printf("%d\n", number);
    fflush(stdout);
    start(executor, NULL);
    for (;;) pause();
  }

  if (strcmp(mode, "undumpable") == 0) prctl(PR_SET_DUMPABLE, 0);
  if (strcmp(mode, "named") == 0) prctl(PR_SET_NAME, argv[2]);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGRTMIN + 1, &action, NULL);
  sigaction(SIGRTMIN + 2, &action, NULL);
  start(heart, NULL);
  if (strcmp(mode, "sleepers") == 0) {
    for (int i = 0; i < number; i++) start(sleeper, NULL);
  } else if (strcmp(mode, "spinners") == 0) {
    for (int i = 0; i < number; i++) start(spinner, NULL);
  } else if (strcmp(mode, "churn") == 0) {
    for (int i = 0; i < number; i++) start(churner, NULL);
  } else if (strcmp(mode, "vfork") == 0) {
    start(vforker, NULL);
  } else if (strcmp(mode, "pattern") == 0) {
    pattern();
  }
  start(answer, NULL);
  while (beats == 0) usleep(500); /* a stop before the first beat would leave no gap */
  puts("ready");
  fflush(stdout);
  if (strcmp(mode, "leaderless") == 0) pthread_exit(NULL);
  for (;;) pause();
}
