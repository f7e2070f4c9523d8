/* A disk that forgets. Preloaded into a process, this library writes down everything that is done to the files of one
 * folder, in order: creations, writes, truncations, syncs, removals, renames, and what the process acknowledged meanwhile.
 * A power cut is then any point of that record: what was synced before it is on the disk, of the rest some parts may be.
 *
 * POWER_DIR    the folder; only regular files directly in it are watched
 * POWER_TRACE  where the record is written
 * POWER_ACKS   a path; what is written to it is an acknowledgement
 * POWER_EIO    the number of a sync of a `-wal` file from which on every sync fails with EIO
 * POWER_ROOM   bytes that may be written to the folder until the disk is full (ENOSPC)
 * POWER_FREED  a path; once it exists, the disk has room again
 *
 * An entry is: kind (1 byte), file (4), offset or size or covered entries (8), length (4), bytes; little endian.
 * Files are numbered by identity, not by name. Syncs are not passed on: the record is what counts, and it is faster.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { KNOWN = 0, CREATED = 1, WRITTEN = 2, RESIZED = 3, SYNCED = 4, REMOVED = 5, RENAMED = 6, ACKED = 7, FOLDER_SYNCED = 8, SYNC_FAILED = 9 };
enum { FILES = 4096, HANDLES = 65536, NAME = 256 };
enum { NONE = 0, FOLDER = -1, ACKS = -2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *folder, *acks, *freed;
static size_t folder_length;
static int trace = -1;
static uint64_t entries, written, room, wal_syncs, eio_from;
static char names[FILES][NAME]; /* by file number; empty when the name is gone */
static uint32_t files;
static int handles[HANDLES]; /* file number, or one of the above */

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

static uint64_t number(const char *name) {
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 10) : 0;
}

static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    folder = getenv("POWER_DIR");
    acks = getenv("POWER_ACKS");
    freed = getenv("POWER_FREED");
    folder_length = folder ? strlen(folder) : 0;
    eio_from = number("POWER_EIO");
    room = number("POWER_ROOM");
    const char *path = getenv("POWER_TRACE");
    if (path) trace = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void ready(void) { pthread_once(&once, begin); }

static void all(const void *bytes, size_t length) {
    for (const char *at = bytes; length > 0;) {
        ssize_t done = syscall(SYS_write, trace, at, length);
        if (done <= 0) { perror("power: the record cannot be written"); abort(); }
        at += done, length -= (size_t)done;
    }
}

/* Adds an entry; the lock is held. */
static void add(uint8_t kind, uint32_t file, uint64_t where, const void *bytes, uint32_t length) {
    entries++;
    if (trace < 0) return;
    unsigned char head[17];
    head[0] = kind;
    memcpy(head + 1, &file, 4), memcpy(head + 5, &where, 8), memcpy(head + 13, &length, 4);
    all(head, sizeof head);
    if (length > 0) all(bytes, length);
}

/* The name of a file of the folder, or NULL. */
static const char *watched(const char *path) {
    if (!folder || !path || strncmp(path, folder, folder_length) != 0 || path[folder_length] != '/') return NULL;
    const char *name = path + folder_length + 1;
    return *name && !strchr(name, '/') && strlen(name) < NAME ? name : NULL;
}

static uint32_t find(const char *name) {
    for (uint32_t file = 1; file <= files; file++)
        if (strcmp(names[file], name) == 0) return file;
    return 0;
}

static void opened(int handle, const char *path, int flags, int existed) {
    if (handle < 0 || handle >= HANDLES) return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    const char *name = watched(path);
    if (name) {
        uint32_t file = find(name);
        if (!file) {
            if (files + 1 >= FILES) abort();
            strcpy(names[file = ++files], name);
            add(existed ? KNOWN : CREATED, file, 0, name, (uint32_t)strlen(name));
        }
        if (existed && (flags & O_TRUNC)) add(RESIZED, file, 0, NULL, 0);
        handles[handle] = (int)file;
    } else if (folder && strcmp(path, folder) == 0) {
        handles[handle] = FOLDER;
    } else {
        handles[handle] = acks && strcmp(path, acks) == 0 ? ACKS : NONE;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static int opening(int at, const char *path, int flags, mode_t mode) {
    ready();
    int existed = watched(path) ? access(path, F_OK) == 0 : 1;
    int handle = at == AT_FDCWD ? real_open(path, flags, mode) : real_openat(at, path, flags, mode);
    opened(handle, path, flags, existed);
    return handle;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                             \
    int name(const char *path, int flags, ...) {               \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode_t mode = mode_of(flags, rest);                    \
        va_end(rest);                                          \
        return opening(AT_FDCWD, path, flags, mode);           \
    }
#define OPENAT(name)                                           \
    int name(int at, const char *path, int flags, ...) {       \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode_t mode = mode_of(flags, rest);                    \
        va_end(rest);                                          \
        return opening(at, path, flags, mode);                 \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

static int at_handle(int handle) { return handle >= 0 && handle < HANDLES ? handles[handle] : NONE; }

int close(int handle) {
    ready();
    if (at_handle(handle) != NONE) {
        pthread_mutex_lock(&lock);
        handles[handle] = NONE;
        pthread_mutex_unlock(&lock);
    }
    return real_close(handle);
}

/* True if the disk has no room for so many bytes more; the lock is held. */
static int is_full(size_t length) {
    if (room == 0 || written + length <= room) return 0;
    return !(freed && access(freed, F_OK) == 0);
}

static ssize_t put(int handle, const void *bytes, size_t length, off64_t where) {
    pthread_mutex_lock(&lock);
    ssize_t done = -1;
    if (is_full(length)) {
        errno = ENOSPC;
    } else {
        done = real_pwrite(handle, bytes, length, where);
        if (done > 0) {
            written += (uint64_t)done;
            add(WRITTEN, (uint32_t)handles[handle], (uint64_t)where, bytes, (uint32_t)done);
        }
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}

ssize_t pwrite64(int handle, const void *bytes, size_t length, off64_t where) {
    ready();
    return at_handle(handle) > 0 ? put(handle, bytes, length, where) : real_pwrite(handle, bytes, length, where);
}

ssize_t pwrite(int handle, const void *bytes, size_t length, off_t where) {
    return pwrite64(handle, bytes, length, where);
}

ssize_t write(int handle, const void *bytes, size_t length) {
    ready();
    int file = at_handle(handle);
    if (file == ACKS) {
        pthread_mutex_lock(&lock);
        add(ACKED, 0, 0, bytes, (uint32_t)length);
        pthread_mutex_unlock(&lock);
    } else if (file > 0) {
        off64_t where = lseek64(handle, 0, fcntl(handle, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
        ssize_t done = put(handle, bytes, length, where);
        if (done > 0) lseek64(handle, where + done, SEEK_SET);
        return done;
    }
    return real_write(handle, bytes, length);
}

int ftruncate64(int handle, off64_t size) {
    ready();
    int file = at_handle(handle);
    if (file <= 0) return real_ftruncate(handle, size);
    pthread_mutex_lock(&lock);
    int result = real_ftruncate(handle, size);
    if (result == 0) add(RESIZED, (uint32_t)file, (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int handle, off_t size) { return ftruncate64(handle, size); }

static int is_wal(int file) {
    size_t length = strlen(names[file]);
    return length > 4 && strcmp(names[file] + length - 4, "-wal") == 0;
}

int fsync(int handle) {
    ready();
    int file = at_handle(handle);
    if (file <= 0 && file != FOLDER) return real_fsync(handle);
    pthread_mutex_lock(&lock);
    int result = 0;
    if (file == FOLDER) {
        add(FOLDER_SYNCED, 0, entries, NULL, 0);
    } else if (eio_from && (wal_syncs += (uint64_t)is_wal(file)) >= eio_from) {
        add(SYNC_FAILED, (uint32_t)file, entries, NULL, 0);
        result = -1;
    } else {
        add(SYNCED, (uint32_t)file, entries, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    if (result != 0) errno = EIO;
    return result;
}

int fdatasync(int handle) { return fsync(handle); }

int unlink(const char *path) {
    ready();
    const char *name = watched(path);
    if (!name) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int result = real_unlink(path);
    if (result == 0) {
        uint32_t file = find(name);
        if (file) names[file][0] = 0;
        add(REMOVED, file, 0, name, (uint32_t)strlen(name));
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) {
    ready();
    const char *old = watched(from), *new = watched(to);
    if (!old && !new) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int result = real_rename(from, to);
    if (result == 0) {
        char both[2 * NAME + 1];
        int length = snprintf(both, sizeof both, "%s/%s", old ? old : "", new ? new : "");
        uint32_t file = old ? find(old) : 0, replaced = new ? find(new) : 0;
        if (replaced) names[replaced][0] = 0;
        if (file && new) strcpy(names[file], new);
        add(RENAMED, file, 0, both, (uint32_t)length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}
