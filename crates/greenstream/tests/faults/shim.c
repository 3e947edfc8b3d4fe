/* Makes file operations of a real, unchanged program fail: put before it with LD_PRELOAD.
 *
 * It counts the operations on files below one folder and lets the Nth one fail, once or from there on. What it
 * does is said by the environment:
 *
 *   IO_FAULT_UNDER    the folder, absolute and without links
 *   IO_FAULT_KIND     eio      any operation fails with EIO
 *                     enospc   what needs space (or makes it durable) fails with ENOSPC
 *                     short    a write writes half, and the next one fails with ENOSPC
 *                     crash    SIGKILL before an operation that changes the disk
 *                     torn     SIGKILL in the middle of a write
 *                     full     as enospc, but a sync succeeds: a disk without space
 *                     delay    writes and syncs take IO_FAULT_MILLIS longer
 *                     none     nothing; only counts
 *   IO_FAULT_AT       which of the operations that the kind can hit, from 1
 *   IO_FAULT_FOREVER  set: that one and all after it
 *   IO_FAULT_WHILE    faults happen only while this file is there
 *   IO_FAULT_LOG      gets a line at the first fault: the operation and its file
 *   IO_FAULT_COUNTS   gets, when the program ends, a line for each kind of operation: its name and how many
 *
 * Raw system calls pass it by: rustix is built with `use-libc` for that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* the kinds of operation; `space` needs free space, `change` changes the disk */
enum { SPACE = 1, CHANGE = 2, WRITE = 4, SYNC = 8 };
enum op { OPEN, CREATE, READ, PREAD, WRITE_, WRITEV, PWRITE, TRUNCATE, ALLOCATE, COPY, FSYNC, FDATASYNC, SYNCFS,
          RENAME, LINK, UNLINK, MKDIR, RMDIR, OPS };
static const struct { const char *name; int is; } ops[OPS] = {
    {"open", 0}, {"create", SPACE | CHANGE}, {"read", 0}, {"pread", 0}, {"write", SPACE | CHANGE | WRITE},
    {"writev", SPACE | CHANGE | WRITE}, {"pwrite", SPACE | CHANGE | WRITE}, {"truncate", CHANGE},
    {"allocate", SPACE | CHANGE}, {"copy", SPACE | CHANGE}, {"fsync", CHANGE | SYNC}, {"fdatasync", CHANGE | SYNC},
    {"syncfs", CHANGE | SYNC}, {"rename", SPACE | CHANGE}, {"link", SPACE | CHANGE}, {"unlink", CHANGE},
    {"mkdir", SPACE | CHANGE}, {"rmdir", CHANGE},
};

static const char *under, *kind, *while_file, *log_file, *counts_file;
static size_t under_len;
static long fault_at, millis, seen, counts[OPS];
static int forever, logged, half_done;
/* what a caller does with an operation */
enum verdict { GO, FAIL, HALF };

__attribute__((constructor)) static void begin(void) {
  const char *at = getenv("IO_FAULT_AT"), *ms = getenv("IO_FAULT_MILLIS");
  kind = getenv("IO_FAULT_KIND");
  while_file = getenv("IO_FAULT_WHILE");
  log_file = getenv("IO_FAULT_LOG");
  counts_file = getenv("IO_FAULT_COUNTS");
  forever = getenv("IO_FAULT_FOREVER") != NULL;
  fault_at = at ? atol(at) : 1;
  millis = ms ? atol(ms) : 0;
  if (!kind) kind = "none";
  under = getenv("IO_FAULT_UNDER");
  under_len = under ? strlen(under) : 0;
}

__attribute__((destructor)) static void end(void) {
  if (!counts_file) return;
  FILE *file = fopen(counts_file, "w");
  if (!file) return;
  for (int op = 0; op < OPS; op++) fprintf(file, "%s %ld\n", ops[op].name, counts[op]);
  fclose(file);
}

/* The path of a name relative to a folder's descriptor (or of the descriptor itself, without a name). */
static const char *resolve(int dir, const char *name, char *buffer) {
  char link[64];
  if (name && name[0] == '/') return name;
  if (dir == AT_FDCWD) {
    if (syscall(SYS_getcwd, buffer, PATH_MAX) <= 0) return NULL;
  } else {
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return NULL;
    buffer[length] = 0;
  }
  if (name) {
    size_t length = strlen(buffer);
    snprintf(buffer + length, PATH_MAX - length, "/%s", name);
  }
  return buffer;
}

static int can_hit(enum op op) {
  int is = ops[op].is;
  if (!strcmp(kind, "eio")) return 1;
  if (!strcmp(kind, "enospc")) return is & (SPACE | SYNC);
  if (!strcmp(kind, "full")) return is & SPACE;
  if (!strcmp(kind, "short") || !strcmp(kind, "torn")) return is & WRITE;
  if (!strcmp(kind, "crash")) return is & CHANGE;
  if (!strcmp(kind, "delay")) return is & (WRITE | SYNC);
  return 0;
}

/* Writes down what fails, by raw calls: this must not count itself. */
static void tell(enum op op, const char *path) {
  char line[PATH_MAX + 64];
  if (!log_file || __atomic_exchange_n(&logged, 1, __ATOMIC_SEQ_CST)) return;
  int length = snprintf(line, sizeof line, "%s %s\n", ops[op].name, path);
  long fd = syscall(SYS_openat, AT_FDCWD, log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd >= 0) {
    syscall(SYS_write, fd, line, length);
    syscall(SYS_close, fd);
  }
}

static enum verdict judge(enum op op, int dir, const char *name) {
  char buffer[PATH_MAX + 8];
  if (!under) return GO;
  int before = errno;
  const char *path = resolve(dir, name, buffer);
  errno = before;
  if (!path || strncmp(path, under, under_len) || (path[under_len] && path[under_len] != '/')) return GO;
  __atomic_add_fetch(&counts[op], 1, __ATOMIC_SEQ_CST);
  if (!can_hit(op)) return GO;
  /* what is there needs no space to be opened, and is no folder to be made */
  if ((op == CREATE || op == MKDIR) && (!strcmp(kind, "full") || !strcmp(kind, "enospc")) &&
      syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0) {
    errno = before;
    return GO;
  }
  if (while_file && syscall(SYS_faccessat, AT_FDCWD, while_file, F_OK) != 0) {
    errno = before;
    return GO;
  }
  if ((ops[op].is & WRITE) && __atomic_exchange_n(&half_done, 0, __ATOMIC_SEQ_CST)) {
    errno = ENOSPC;
    return FAIL;
  }
  long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
  if (forever ? number < fault_at : number != fault_at) return GO;
  tell(op, path);
  if (!strcmp(kind, "delay")) {
    struct timespec pause = {millis / 1000, millis % 1000 * 1000000};
    nanosleep(&pause, NULL);
    errno = before;
    return GO;
  }
  if (!strcmp(kind, "short") || !strcmp(kind, "torn")) return HALF;
  if (!strcmp(kind, "crash")) kill(getpid(), SIGKILL);
  errno = strcmp(kind, "eio") ? ENOSPC : EIO;
  return FAIL;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define ANSWER(op, dir, path, call) \
  do { return judge(op, dir, path) == GO ? (call) : -1; } while (0)

/* Half a write, and then death or an error with the next one. */
static int halved(void) {
  if (!strcmp(kind, "torn")) kill(getpid(), SIGKILL);
  __atomic_store_n(&half_done, 1, __ATOMIC_SEQ_CST);
  return 1;
}
#define ANSWER_WRITE(op, fd, size, whole, half) \
  do { \
    switch (judge(op, fd, NULL)) { \
    case GO: return (whole); \
    case FAIL: return -1; \
    default: { \
      ssize_t done = (size) > 1 ? (half) : 0; \
      if ((size) <= 1) { halved(); half_done = 0; errno = ENOSPC; return -1; } \
      halved(); \
      return done; \
    } } \
  } while (0)

#define OPENER(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    ANSWER(flags & O_CREAT ? CREATE : OPEN, AT_FDCWD, path, real(path, flags, mode)); \
  }
OPENER(open)
OPENER(open64)
#define OPENER_AT(name) \
  int name(int dir, const char *path, int flags, ...) { \
    REAL(name); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    ANSWER(flags & O_CREAT ? CREATE : OPEN, dir, path, real(dir, path, flags, mode)); \
  }
OPENER_AT(openat)
OPENER_AT(openat64)

ssize_t read(int fd, void *to, size_t n) { REAL(read); ANSWER(READ, fd, NULL, real(fd, to, n)); }
ssize_t pread(int fd, void *to, size_t n, off_t at) { REAL(pread); ANSWER(PREAD, fd, NULL, real(fd, to, n, at)); }
ssize_t pread64(int fd, void *to, size_t n, off64_t at) { REAL(pread64); ANSWER(PREAD, fd, NULL, real(fd, to, n, at)); }
ssize_t write(int fd, const void *from, size_t n) {
  REAL(write);
  ANSWER_WRITE(WRITE_, fd, n, real(fd, from, n), real(fd, from, n / 2));
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t at) {
  REAL(pwrite);
  ANSWER_WRITE(PWRITE, fd, n, real(fd, from, n, at), real(fd, from, n / 2, at));
}
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) {
  REAL(pwrite64);
  ANSWER_WRITE(PWRITE, fd, n, real(fd, from, n, at), real(fd, from, n / 2, at));
}
/* half of the first part is half enough */
ssize_t writev(int fd, const struct iovec *from, int n) {
  REAL(writev);
  ANSWER_WRITE(WRITEV, fd, n > 0 ? from[0].iov_len : 0, real(fd, from, n),
               syscall(SYS_write, fd, from[0].iov_base, from[0].iov_len / 2));
}
int ftruncate(int fd, off_t size) { REAL(ftruncate); ANSWER(TRUNCATE, fd, NULL, real(fd, size)); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); ANSWER(TRUNCATE, fd, NULL, real(fd, size)); }
int fallocate(int fd, int mode, off_t at, off_t n) { REAL(fallocate); ANSWER(ALLOCATE, fd, NULL, real(fd, mode, at, n)); }
int fallocate64(int fd, int mode, off64_t at, off64_t n) { REAL(fallocate64); ANSWER(ALLOCATE, fd, NULL, real(fd, mode, at, n)); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned int flags) {
  REAL(copy_file_range);
  ANSWER(COPY, to, NULL, real(from, a, to, b, n, flags));
}
int fsync(int fd) { REAL(fsync); ANSWER(FSYNC, fd, NULL, real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); ANSWER(FDATASYNC, fd, NULL, real(fd)); }
int syncfs(int fd) { REAL(syncfs); ANSWER(SYNCFS, fd, NULL, real(fd)); }
int rename(const char *from, const char *to) { REAL(rename); ANSWER(RENAME, AT_FDCWD, to, real(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { REAL(renameat); ANSWER(RENAME, b, to, real(a, from, b, to)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned int flags) {
  REAL(renameat2);
  ANSWER(RENAME, b, to, real(a, from, b, to, flags));
}
int link(const char *from, const char *to) { REAL(link); ANSWER(LINK, AT_FDCWD, to, real(from, to)); }
int linkat(int a, const char *from, int b, const char *to, int flags) { REAL(linkat); ANSWER(LINK, b, to, real(a, from, b, to, flags)); }
int unlink(const char *path) { REAL(unlink); ANSWER(UNLINK, AT_FDCWD, path, real(path)); }
int unlinkat(int dir, const char *path, int flags) {
  REAL(unlinkat);
  ANSWER(flags & AT_REMOVEDIR ? RMDIR : UNLINK, dir, path, real(dir, path, flags));
}
int mkdir(const char *path, mode_t mode) { REAL(mkdir); ANSWER(MKDIR, AT_FDCWD, path, real(path, mode)); }
int rmdir(const char *path) { REAL(rmdir); ANSWER(RMDIR, AT_FDCWD, path, real(path)); }
