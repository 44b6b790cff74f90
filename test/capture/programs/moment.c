/*
 * Programs that show whether their memory moves: threads write to a line of memory each, in several ways. The first line
 * of output says where the lines are, and how many. The program ends when its standard input does.
 *
 *   count N         N threads count. One register holds the number, another the address of the line.
 *   read N          N threads count, and read 8 random bytes into their line again and again
 *   create N        N threads create threads as fast as they can; each of those counts once, and ends
 *   signal N RATE   N threads count, and another process sends RATE signals a second, whose handlers count
 *   spin N          N threads that use their CPU and nothing else
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 256 };

struct line {
  volatile uint64_t count;
  volatile uint64_t written; /* by the kernel */
  volatile uint64_t handled; /* by signal handlers */
  char pad[104];
};
static struct line lines[LINES] __attribute__((aligned(4096)));
static __thread struct line *volatile own;

static void *count(void *arg) {
  register struct line *line = arg;
#if defined(__x86_64__)
  __asm__ volatile("movq %0, %%rbx\n\txorl %%r12d, %%r12d\n1:\tincq %%r12\n\tmovq %%r12, (%%rbx)\n\tjmp 1b" ::"r"(line)
                   : "rbx", "r12", "memory");
#else
  __asm__ volatile("mov x19, %0\n\tmov x20, #0\n1:\tadd x20, x20, #1\n\tstr x20, [x19]\n\tb 1b" ::"r"(line)
                   : "x19", "x20", "memory");
#endif
  return NULL;
}

static void *reader(void *arg) {
  struct line *line = arg;
  int random = open("/dev/urandom", O_RDONLY);
  for (;;) {
    line->count++;
    if (read(random, (void *)&line->written, sizeof line->written) < 0) abort();
  }
  return NULL;
}

static void *once(void *arg) {
  struct line *line = arg;
  line->handled++;
  return NULL;
}

static void *creator(void *arg) {
  struct line *line = arg;
  for (;;) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, once, line) != 0) continue;
    line->count++;
    pthread_join(thread, NULL);
  }
  return NULL;
}

static void on_signal(int sig) {
  (void)sig;
  if (own != NULL) own->handled++;
}

static void *interrupted(void *arg) {
  own = arg;
  for (;;) own->count++;
  return NULL;
}

static void send_signals(int rate) {
  pid_t parent = getpid();
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_TIMERSLACK, 1);
  struct timespec pause = {0, 1000000000 / rate};
  while (getppid() == parent && kill(parent, SIGUSR1) == 0) nanosleep(&pause, NULL);
  _exit(0);
}

static void *spinner(void *arg) {
  static __thread volatile uint64_t work;
  for (;;) work++;
  return arg;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  int number = argc > 2 ? atoi(argv[2]) : 0;
  void *(*body)(void *) = strcmp(mode, "count") == 0    ? count
                          : strcmp(mode, "read") == 0   ? reader
                          : strcmp(mode, "create") == 0 ? creator
                          : strcmp(mode, "signal") == 0 ? interrupted
                                                        : spinner;
  if (number < 1 || number > LINES) return 2;
  if (body == interrupted) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    send_signals(atoi(argv[3]));
  }
  for (int i = 0; i < number; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, &lines[i]) != 0) return 1;
  }
  sigset_t others;
  sigemptyset(&others);
  sigaddset(&others, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &others, NULL);
  printf("%p %zu %d\nready\n", (void *)lines, sizeof lines[0], number);
  fflush(stdout);
  while (getchar() != EOF);
  return 0;
}
