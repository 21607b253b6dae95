/* Declarations of the C library for Clang's analyzer, so that what it finds does not depend on the machine's headers.
   Every standard and POSIX header name leads here. Prototypes as in ISO C11 and POSIX.1-2017; structures hold the
   fields most used. Only declarations: nothing is ever linked. */
#ifndef LIBC_STUB_H
#define LIBC_STUB_H
#include <float.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif
#ifdef __cplusplus
extern "C" {
#endif

typedef long ssize_t, off_t, time_t, clock_t, suseconds_t, blkcnt_t, blksize_t;
typedef long long loff_t, off64_t, quad_t;
typedef unsigned long ino_t, dev_t, nlink_t;
typedef unsigned int mode_t, uid_t, gid_t, id_t, useconds_t, socklen_t, in_addr_t, u_int;
typedef int pid_t, clockid_t, key_t;
typedef unsigned char u_char;
typedef unsigned short u_short, in_port_t, sa_family_t;
typedef unsigned long u_long;
typedef uint8_t u_int8_t;
typedef uint16_t u_int16_t;
typedef uint32_t u_int32_t;
typedef uint64_t u_int64_t;
typedef struct { int set; } sigset_t, fpos_t, mbstate_t;
typedef struct _IO_FILE FILE;
typedef struct DIR DIR;
typedef long jmp_buf[32], sigjmp_buf[32];
typedef int sig_atomic_t;
typedef struct { int quot, rem; } div_t;
typedef struct { long quot, rem; } ldiv_t;
typedef unsigned int wint_t;
typedef unsigned long pthread_t;
typedef unsigned int pthread_key_t;
typedef int pthread_once_t;
typedef union { char size[56]; } pthread_mutex_t, pthread_cond_t, pthread_attr_t, pthread_mutexattr_t, pthread_condattr_t,
    pthread_rwlock_t, sem_t;

struct tm { int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst; long tm_gmtoff; };
struct timeval { time_t tv_sec; suseconds_t tv_usec; };
struct timespec { time_t tv_sec; long tv_nsec; };
struct timezone { int tz_minuteswest, tz_dsttime; };
struct stat { dev_t st_dev; ino_t st_ino; mode_t st_mode; nlink_t st_nlink; uid_t st_uid; gid_t st_gid; dev_t st_rdev;
    off_t st_size; blksize_t st_blksize; blkcnt_t st_blocks; struct timespec st_atim, st_mtim, st_ctim; };
#define st_atime st_atim.tv_sec
#define st_mtime st_mtim.tv_sec
#define st_ctime st_ctim.tv_sec
struct dirent { ino_t d_ino; unsigned char d_type; char d_name[256]; };
struct sockaddr { sa_family_t sa_family; char sa_data[14]; };
struct sockaddr_storage { sa_family_t ss_family; char data[126]; };
struct in_addr { in_addr_t s_addr; };
struct sockaddr_in { sa_family_t sin_family; in_port_t sin_port; struct in_addr sin_addr; char sin_zero[8]; };
struct in6_addr { uint8_t s6_addr[16]; };
struct sockaddr_in6 { sa_family_t sin6_family; in_port_t sin6_port; uint32_t sin6_flowinfo; struct in6_addr sin6_addr;
    uint32_t sin6_scope_id; };
struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; };
struct addrinfo { int ai_flags, ai_family, ai_socktype, ai_protocol; socklen_t ai_addrlen; struct sockaddr *ai_addr;
    char *ai_canonname; struct addrinfo *ai_next; };
struct hostent { char *h_name, **h_aliases; int h_addrtype, h_length; char **h_addr_list; };
struct iovec { void *iov_base; size_t iov_len; };
struct msghdr { void *msg_name; socklen_t msg_namelen; struct iovec *msg_iov; size_t msg_iovlen; void *msg_control;
    size_t msg_controllen; int msg_flags; };
struct option { const char *name; int has_arg, *flag, val; };
struct flock { short l_type, l_whence; off_t l_start, l_len; pid_t l_pid; };
struct rlimit { unsigned long rlim_cur, rlim_max; };
struct ucred { pid_t pid; uid_t uid; gid_t gid; };
struct linger { int l_onoff, l_linger; };
struct timeb { time_t time; unsigned short millitm; };
struct utimbuf { time_t actime, modtime; };
struct termios { unsigned c_iflag, c_oflag, c_cflag, c_lflag; unsigned char c_cc[32]; };
struct winsize { unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel; };
struct itimerval { struct timeval it_interval, it_value; };
struct servent { char *s_name, **s_aliases; int s_port; char *s_proto; };
typedef struct { size_t re_nsub; } regex_t;
typedef struct { int rm_so, rm_eo; } regmatch_t;
typedef union { char size[56]; } pthread_spinlock_t, pthread_barrier_t;
struct pollfd { int fd; short events, revents; };
struct rusage { struct timeval ru_utime, ru_stime; long ru_maxrss; };
struct passwd { char *pw_name, *pw_passwd; uid_t pw_uid; gid_t pw_gid; char *pw_gecos, *pw_dir, *pw_shell; };
struct group { char *gr_name, *gr_passwd; gid_t gr_gid; char **gr_mem; };
struct sigaction { void (*sa_handler)(int); sigset_t sa_mask; int sa_flags; };
struct lconv { char *decimal_point, *thousands_sep; };
struct utsname { char sysname[65], nodename[65], release[65], version[65], machine[65]; };
typedef struct { long fds_bits[16]; } fd_set;
#define FD_SETSIZE 1024
void FD_ZERO(fd_set *set);
void FD_SET(int fd, fd_set *set);
void FD_CLR(int fd, fd_set *set);
int FD_ISSET(int fd, fd_set *set);

int *__errno_location(void);
#define errno (*__errno_location())
enum { EPERM = 1, ENOENT, ESRCH, EINTR, EIO, ENXIO, E2BIG, ENOEXEC, EBADF, ECHILD, EAGAIN, ENOMEM, EACCES, EFAULT, EBUSY = 16,
    EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE, EMFILE, ENOTTY, EFBIG = 27, ENOSPC, ESPIPE, EROFS, EMLINK, EPIPE,
    EDOM, ERANGE, ENAMETOOLONG = 36, ENOSYS = 38, ENOTEMPTY, EPROTO = 71, EOVERFLOW = 75, EILSEQ = 84, ENOTSOCK = 88,
    EMSGSIZE = 90, ENOTSUP = 95, EADDRINUSE = 98, ECONNABORTED = 103, ECONNRESET, ENOBUFS, EISCONN, ENOTCONN,
    ETIMEDOUT = 110, ECONNREFUSED, EHOSTUNREACH = 113, EALREADY, EINPROGRESS };
#define EWOULDBLOCK EAGAIN
#define EOPNOTSUPP ENOTSUP
#define SIZEOF_PID_T 4
#define SIZEOF_INT 4
#define SIZEOF_LONG 8
#define EOF (-1)
#define BUFSIZ 8192
#define FILENAME_MAX 4096
#define PATH_MAX 4096
#define MAXPATHLEN 4096
#define NAME_MAX 255
#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1
#define RAND_MAX 2147483647
#define CLOCKS_PER_SEC 1000000L
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define SSIZE_MAX LONG_MAX
enum { SEEK_SET, SEEK_CUR, SEEK_END };
enum { _IOFBF, _IOLBF, _IONBF };
enum { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };
enum { F_OK, X_OK, W_OK, R_OK = 4 };
enum { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT = 64, O_EXCL = 128, O_NOCTTY = 256, O_TRUNC = 512, O_APPEND = 1024,
    O_NONBLOCK = 2048, O_CLOEXEC = 524288 };
enum { F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW };
#define FD_CLOEXEC 1
enum { S_IFMT = 0170000, S_IFSOCK = 0140000, S_IFLNK = 0120000, S_IFREG = 0100000, S_IFBLK = 060000, S_IFDIR = 040000,
    S_IFCHR = 020000, S_IFIFO = 010000, S_ISUID = 04000, S_ISGID = 02000, S_IRWXU = 0700, S_IRUSR = 0400, S_IWUSR = 0200,
    S_IXUSR = 0100, S_IRWXG = 070, S_IRGRP = 040, S_IWGRP = 020, S_IXGRP = 010, S_IRWXO = 07, S_IROTH = 04, S_IWOTH = 02,
    S_IXOTH = 01 };
#define S_ISREG(m) (((m) & S_IFMT) == S_IFREG)
#define S_ISDIR(m) (((m) & S_IFMT) == S_IFDIR)
#define S_ISLNK(m) (((m) & S_IFMT) == S_IFLNK)
#define S_ISSOCK(m) (((m) & S_IFMT) == S_IFSOCK)
#define S_ISCHR(m) (((m) & S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m) & S_IFMT) == S_IFBLK)
#define S_ISFIFO(m) (((m) & S_IFMT) == S_IFIFO)
enum { AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6 = 10 };
#define PF_INET AF_INET
#define PF_UNIX AF_UNIX
enum { SOCK_STREAM = 1, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET = 1, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_BROADCAST = 6, SO_SNDBUF,
    SO_RCVBUF, SO_KEEPALIVE, IPPROTO_IP = 0, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_IPV6 = 41, TCP_NODELAY = 1 };
#define INADDR_ANY 0u
#define INADDR_NONE 0xffffffffu
#define INADDR_LOOPBACK 0x7f000001u
#define INET_ADDRSTRLEN 16
#define INET6_ADDRSTRLEN 46
enum { POLLIN = 1, POLLPRI, POLLOUT = 4, POLLERR = 8, POLLHUP = 16, POLLNVAL = 32 };
enum { PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 4, MAP_SHARED = 1, MAP_PRIVATE, MAP_ANONYMOUS = 32 };
#define MAP_ANON MAP_ANONYMOUS
#define MAP_FAILED ((void *)-1)
enum { SIGHUP = 1, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,
    SIGALRM, SIGTERM, SIGCHLD = 17, SIGCONT, SIGSTOP };
#define SIG_DFL ((void (*)(int))0)
#define SIG_IGN ((void (*)(int))1)
#define SIG_ERR ((void (*)(int))-1)
enum { WNOHANG = 1, LOCK_SH = 1, LOCK_EX, LOCK_NB = 4, LOCK_UN = 8 };
int WIFEXITED(int status);
int WEXITSTATUS(int status);
int WIFSIGNALED(int status);
int WTERMSIG(int status);
enum { LC_CTYPE, LC_NUMERIC, LC_TIME, LC_COLLATE, LC_MONETARY, LC_MESSAGES, LC_ALL };
#define PTHREAD_MUTEX_INITIALIZER {{0}}
#define PTHREAD_COND_INITIALIZER {{0}}
#define PTHREAD_ONCE_INIT 0
#define PRId8 "d"
#define PRId16 "d"
#define PRId32 "d"
#define PRIi32 "i"
#define PRIu8 "u"
#define PRIu16 "u"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRIX32 "X"
#define PRId64 "ld"
#define PRIi64 "li"
#define PRIu64 "lu"
#define PRIx64 "lx"
#define PRIX64 "lX"
#define PRIo64 "lo"
#define SCNd64 "ld"
#define SCNu64 "lu"
#define SCNx64 "lx"
#define PRIuPTR "lu"
#define PRIxPTR "lx"
#define M_PI 3.14159265358979323846
#define M_PI_2 1.57079632679489661923
#define M_PI_4 0.78539816339744830962
#define M_E 2.7182818284590452354
#define M_LN2 0.69314718055994530942
#define M_LN10 2.30258509299404568402
#define M_SQRT2 1.41421356237309504880
#define M_SQRT1_2 0.70710678118654752440
#define HUGE_VAL __builtin_huge_val()
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)
void __assert_fail(const char *text, const char *file, unsigned line, const char *function) __attribute__((noreturn));
#ifdef NDEBUG
#define assert(x) ((void)0)
#else
#define assert(x) ((x) ? (void)0 : __assert_fail(#x, __FILE__, __LINE__, __func__))
#endif
#if !defined(__cplusplus)
#define static_assert _Static_assert
#endif

extern FILE *stdin, *stdout, *stderr;
extern char **environ, *optarg, *tzname[2];
extern int optind, opterr, optopt;
extern long timezone;
#define stdin stdin
#define stdout stdout
#define stderr stderr

void *malloc(size_t n), *calloc(size_t n, size_t m), *realloc(void *p, size_t n), *alloca(size_t n);
void *aligned_alloc(size_t a, size_t n), *memalign(size_t a, size_t n);
int posix_memalign(void **p, size_t a, size_t n);
void free(void *p);
void exit(int s) __attribute__((noreturn)), _exit(int s) __attribute__((noreturn)), abort(void) __attribute__((noreturn));
int atexit(void (*f)(void)), system(const char *s), atoi(const char *s), abs(int x), rand(void), mkstemp(char *s);
long atol(const char *s), labs(long x), random(void), lrand48(void);
long long atoll(const char *s), llabs(long long x);
double atof(const char *s), strtod(const char *s, char **e), drand48(void);
float strtof(const char *s, char **e);
long strtol(const char *s, char **e, int b);
unsigned long strtoul(const char *s, char **e, int b);
long long strtoll(const char *s, char **e, int b);
unsigned long long strtoull(const char *s, char **e, int b);
intmax_t strtoimax(const char *s, char **e, int b);
uintmax_t strtoumax(const char *s, char **e, int b);
void srand(unsigned s), srandom(unsigned s), srand48(long s);
char *getenv(const char *s), *realpath(const char *a, char *b), *mktemp(char *s), *mkdtemp(char *s), *secure_getenv(const char *);
int setenv(const char *a, const char *b, int o), putenv(char *s), unsetenv(const char *s);
void qsort(void *p, size_t n, size_t s, int (*f)(const void *, const void *));
void *bsearch(const void *k, const void *p, size_t n, size_t s, int (*f)(const void *, const void *));
int mbtowc(wchar_t *w, const char *s, size_t n), wctomb(char *s, wchar_t w);
size_t mbstowcs(wchar_t *w, const char *s, size_t n), wcstombs(char *s, const wchar_t *w, size_t n);

void *memcpy(void *a, const void *b, size_t n), *memmove(void *a, const void *b, size_t n), *memset(void *a, int c, size_t n);
void *memchr(const void *a, int c, size_t n), *memrchr(const void *a, int c, size_t n);
void *memmem(const void *a, size_t n, const void *b, size_t m), *mempcpy(void *a, const void *b, size_t n);
int memcmp(const void *a, const void *b, size_t n), strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n), strcasecmp(const char *a, const char *b), bcmp(const void *, const void *, size_t);
int strncasecmp(const char *a, const char *b, size_t n), strcoll(const char *a, const char *b);
size_t strlen(const char *s), strnlen(const char *s, size_t n), strspn(const char *a, const char *b);
size_t strcspn(const char *a, const char *b), strxfrm(char *a, const char *b, size_t n);
size_t strlcpy(char *a, const char *b, size_t n), strlcat(char *a, const char *b, size_t n);
char *strcpy(char *a, const char *b), *strncpy(char *a, const char *b, size_t n), *strcat(char *a, const char *b);
char *strncat(char *a, const char *b, size_t n), *strchr(const char *s, int c), *strrchr(const char *s, int c);
char *strstr(const char *a, const char *b), *strcasestr(const char *a, const char *b), *strpbrk(const char *a, const char *b);
char *strtok(char *a, const char *b), *strtok_r(char *a, const char *b, char **c), *strdup(const char *s);
char *strndup(const char *s, size_t n), *strerror(int e), *strsep(char **s, const char *d), *stpcpy(char *a, const char *b);
char *strsignal(int s), *index(const char *s, int c), *rindex(const char *s, int c);
void bzero(void *p, size_t n), bcopy(const void *a, void *b, size_t n);
int ffs(int x);

int printf(const char *f, ...), fprintf(FILE *o, const char *f, ...), sprintf(char *s, const char *f, ...);
int snprintf(char *s, size_t n, const char *f, ...), vprintf(const char *f, va_list a), vfprintf(FILE *o, const char *f, va_list a);
int vsprintf(char *s, const char *f, va_list a), vsnprintf(char *s, size_t n, const char *f, va_list a);
int asprintf(char **s, const char *f, ...), vasprintf(char **s, const char *f, va_list a), dprintf(int d, const char *f, ...);
int scanf(const char *f, ...), fscanf(FILE *o, const char *f, ...), sscanf(const char *s, const char *f, ...);
FILE *fopen(const char *p, const char *m), *fdopen(int d, const char *m), *freopen(const char *p, const char *m, FILE *f);
FILE *popen(const char *c, const char *m), *tmpfile(void);
int fclose(FILE *f), pclose(FILE *f), fflush(FILE *f), fgetc(FILE *f), getc(FILE *f), getchar(void), fputc(int c, FILE *f);
int putc(int c, FILE *f), putchar(int c), fputs(const char *s, FILE *f), puts(const char *s), ungetc(int c, FILE *f);
int fseek(FILE *f, long o, int w), fseeko(FILE *f, off_t o, int w), feof(FILE *f), ferror(FILE *f), fileno(FILE *f);
int setvbuf(FILE *f, char *b, int m, size_t n), remove(const char *p), rename(const char *a, const char *b);
long ftell(FILE *f);
off_t ftello(FILE *f);
void rewind(FILE *f), clearerr(FILE *f), perror(const char *s), setbuf(FILE *f, char *b);
size_t fread(void *p, size_t s, size_t n, FILE *f), fwrite(const void *p, size_t s, size_t n, FILE *f);
char *fgets(char *s, int n, FILE *f), *gets(char *s), *tmpnam(char *s), *tempnam(const char *d, const char *p);
ssize_t getline(char **l, size_t *n, FILE *f), getdelim(char **l, size_t *n, int d, FILE *f);

int isalpha(int c), isdigit(int c), isalnum(int c), isspace(int c), isupper(int c), islower(int c), isprint(int c);
int ispunct(int c), isxdigit(int c), iscntrl(int c), isgraph(int c), isblank(int c), isascii(int c), tolower(int c), toupper(int c);

ssize_t read(int d, void *p, size_t n), write(int d, const void *p, size_t n), pread(int d, void *p, size_t n, off_t o);
ssize_t pwrite(int d, const void *p, size_t n, off_t o), readlink(const char *p, char *b, size_t n);
ssize_t readv(int d, const struct iovec *v, int n), writev(int d, const struct iovec *v, int n);
int open(const char *p, int f, ...), creat(const char *p, mode_t m), close(int d), dup(int d), dup2(int a, int b), pipe(int *d);
int fcntl(int d, int c, ...), ioctl(int d, unsigned long r, ...), access(const char *p, int m), unlink(const char *p);
int rmdir(const char *p), mkdir(const char *p, mode_t m), chdir(const char *p), chmod(const char *p, mode_t m), fsync(int d);
int chown(const char *p, uid_t u, gid_t g), link(const char *a, const char *b), symlink(const char *a, const char *b);
int isatty(int d), ftruncate(int d, off_t n), truncate(const char *p, off_t n), flock(int d, int o), usleep(useconds_t u);
int stat(const char *p, struct stat *s), fstat(int d, struct stat *s), lstat(const char *p, struct stat *s);
enum { no_argument, required_argument, optional_argument };
enum { REG_EXTENDED = 1, REG_ICASE, REG_NEWLINE = 4, REG_NOSUB = 8 };
int getopt_long(int c, char *const *v, const char *o, const struct option *l, int *i);
int regcomp(regex_t *r, const char *p, int f), regexec(const regex_t *r, const char *s, size_t n, regmatch_t *m, int f);
void regfree(regex_t *r);
ssize_t sendmsg(int d, const struct msghdr *m, int f), recvmsg(int d, struct msghdr *m, int f);
int getopt(int c, char *const *v, const char *o), execv(const char *p, char *const *a), execvp(const char *p, char *const *a);
int execve(const char *p, char *const *a, char *const *e), execl(const char *p, const char *a, ...), execlp(const char *p, const char *a, ...);
int kill(pid_t p, int s), raise(int s), setuid(uid_t u), setgid(gid_t g), nanosleep(const struct timespec *a, struct timespec *b);
int gethostname(char *s, size_t n), uname(struct utsname *u), getpagesize(void), nice(int n);
off_t lseek(int d, off_t o, int w);
pid_t fork(void), vfork(void), getpid(void), getppid(void), wait(int *s), waitpid(pid_t p, int *s, int o), setsid(void);
uid_t getuid(void), geteuid(void);
gid_t getgid(void), getegid(void);
unsigned sleep(unsigned s), alarm(unsigned s);
mode_t umask(mode_t m);
char *getcwd(char *b, size_t n), *ttyname(int d), *getlogin(void), *dirname(char *s), *basename(char *s);
long sysconf(int n);
DIR *opendir(const char *p);
struct dirent *readdir(DIR *d);
int closedir(DIR *d);
struct passwd *getpwnam(const char *n), *getpwuid(uid_t u);
struct group *getgrnam(const char *n), *getgrgid(gid_t g);
void *mmap(void *p, size_t n, int r, int f, int d, off_t o);
int munmap(void *p, size_t n), msync(void *p, size_t n, int f), mprotect(void *p, size_t n, int r), getrusage(int w, struct rusage *r);

int socket(int a, int b, int c), bind(int d, const struct sockaddr *a, socklen_t n), listen(int d, int n);
int connect(int d, const struct sockaddr *a, socklen_t n), accept(int d, struct sockaddr *a, socklen_t *n), shutdown(int d, int h);
int getsockname(int d, struct sockaddr *a, socklen_t *n), getpeername(int d, struct sockaddr *a, socklen_t *n);
int setsockopt(int d, int l, int o, const void *v, socklen_t n), getsockopt(int d, int l, int o, void *v, socklen_t *n);
int socketpair(int a, int b, int c, int *d), poll(struct pollfd *p, unsigned long n, int t);
int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *t);
ssize_t send(int d, const void *p, size_t n, int f), recv(int d, void *p, size_t n, int f);
ssize_t sendto(int d, const void *p, size_t n, int f, const struct sockaddr *a, socklen_t m);
ssize_t recvfrom(int d, void *p, size_t n, int f, struct sockaddr *a, socklen_t *m);
int getaddrinfo(const char *h, const char *s, const struct addrinfo *a, struct addrinfo **b);
void freeaddrinfo(struct addrinfo *a);
const char *gai_strerror(int e), *inet_ntop(int f, const void *p, char *s, socklen_t n);
char *inet_ntoa(struct in_addr a);
in_addr_t inet_addr(const char *s);
int inet_pton(int f, const char *s, void *p), inet_aton(const char *s, struct in_addr *a);
uint16_t htons(uint16_t x), ntohs(uint16_t x);
uint32_t htonl(uint32_t x), ntohl(uint32_t x);
struct hostent *gethostbyname(const char *n);

time_t time(time_t *t), mktime(struct tm *t), timegm(struct tm *t);
clock_t clock(void);
double difftime(time_t a, time_t b);
struct tm *localtime(const time_t *t), *gmtime(const time_t *t), *localtime_r(const time_t *t, struct tm *m);
struct tm *gmtime_r(const time_t *t, struct tm *m);
char *ctime(const time_t *t), *asctime(const struct tm *t), *strptime(const char *s, const char *f, struct tm *t);
size_t strftime(char *s, size_t n, const char *f, const struct tm *t);
int gettimeofday(struct timeval *t, void *z), clock_gettime(clockid_t c, struct timespec *t);
void tzset(void), (*signal(int s, void (*f)(int)))(int);
int sigaction(int s, const struct sigaction *a, struct sigaction *b), sigemptyset(sigset_t *s), sigaddset(sigset_t *s, int n);
int sigprocmask(int h, const sigset_t *a, sigset_t *b), sigfillset(sigset_t *s);
int setjmp(jmp_buf b), sigsetjmp(sigjmp_buf b, int s);
void longjmp(jmp_buf b, int v) __attribute__((noreturn)), siglongjmp(sigjmp_buf b, int v) __attribute__((noreturn));
char *setlocale(int c, const char *l);
struct lconv *localeconv(void);

double sin(double), cos(double), tan(double), asin(double), acos(double), atan(double), atan2(double, double), sinh(double);
double cosh(double), tanh(double), exp(double), exp2(double), expm1(double), log(double), log2(double), log10(double);
double log1p(double), pow(double, double), sqrt(double), cbrt(double), hypot(double, double), floor(double), ceil(double);
double fabs(double), fmod(double, double), round(double), trunc(double), rint(double), nearbyint(double), ldexp(double, int);
double frexp(double, int *), modf(double, double *), erf(double), erfc(double), lgamma(double), tgamma(double), fmax(double, double);
double fmin(double, double), copysign(double, double), nextafter(double, double), asinh(double), acosh(double), atanh(double);
double j0(double), j1(double), y0(double), y1(double), fma(double, double, double), remainder(double, double);
float sinf(float), cosf(float), tanf(float), atanf(float), atan2f(float, float), expf(float), logf(float), log10f(float);
float log2f(float), powf(float, float), sqrtf(float), floorf(float), ceilf(float), fabsf(float), fmodf(float, float);
float roundf(float), fmaxf(float, float), fminf(float, float), tanhf(float), asinf(float), acosf(float), hypotf(float, float);
long lrint(double), lround(double), lrintf(float), lroundf(float);

size_t wcslen(const wchar_t *s);
wchar_t *wcscpy(wchar_t *a, const wchar_t *b), *wcsncpy(wchar_t *a, const wchar_t *b, size_t n), *wcschr(const wchar_t *s, wchar_t c);
int wcscmp(const wchar_t *a, const wchar_t *b);

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x), pthread_join(pthread_t t, void **r);
int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a), pthread_mutex_destroy(pthread_mutex_t *m);
int pthread_mutex_lock(pthread_mutex_t *m), pthread_mutex_unlock(pthread_mutex_t *m), pthread_mutex_trylock(pthread_mutex_t *m);
int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a), pthread_cond_destroy(pthread_cond_t *c);
int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m), pthread_cond_signal(pthread_cond_t *c), pthread_cond_broadcast(pthread_cond_t *c);
int pthread_once(pthread_once_t *o, void (*f)(void)), pthread_key_create(pthread_key_t *k, void (*f)(void *)), pthread_detach(pthread_t t);
int pthread_attr_init(pthread_attr_t *a), pthread_setspecific(pthread_key_t k, const void *v), pthread_cancel(pthread_t t);
void *pthread_getspecific(pthread_key_t k), pthread_exit(void *r) __attribute__((noreturn));
pthread_t pthread_self(void);

#ifdef __cplusplus
}
#endif
#endif
