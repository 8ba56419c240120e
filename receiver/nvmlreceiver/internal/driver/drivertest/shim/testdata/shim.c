// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// A stand-in for libnvidia-ml.so.1 with two GPUs; the first has one MIG instance on demand. Layouts and numbers are
// those of nvml.h.
//
// Build macros: OLD_DRIVER omits every function that the first version of NVML lacked; NOT_NVML omits all functions;
// DRIVER_VERSION is a string.
//
// The file named by NVML_SHIM_CONTROL controls the library while it runs, one word per line:
//   init=N                  nvmlInit returns N
//   hang=NAME               the function blocks until the word is gone
//   lost=I                  calls on GPU I return NVML_ERROR_GPU_IS_LOST
//   fail=NAME               the function returns NVML_ERROR_NO_PERMISSION
//   xid=N                   GPU 1 has one event for each new N
//   mig                     GPU 0 is partitioned into MIG instances
//   fewer                   the second call for process samples finds more processes than the first one reported
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int index; // 0, 1; 2 is the MIG instance
} gpu;

static gpu gpus[] = {{0}, {1}, {2}};

// word looks for "key" or "key=value" among the control words. It returns the value, which can be empty, or NULL
// if the key is absent.
static const char *word(const char *key, char *line, int size) {
    const char *path = getenv("NVML_SHIM_CONTROL");
    FILE *file = path ? fopen(path, "r") : NULL;
    const char *found = NULL;
    size_t n = strlen(key);
    while (file && !found && fgets(line, size, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, key, n) && (line[n] == '=' || !line[n])) found = line[n] ? line + n + 1 : line + n;
    }
    if (file) fclose(file);
    return found;
}

static int is(const char *key, const char *value) {
    char line[128];
    const char *w = word(key, line, sizeof line);
    return w && !strcmp(w, value);
}

static int number(const char *key, int fallback) {
    char line[128];
    const char *w = word(key, line, sizeof line);
    return w ? atoi(w) : fallback;
}

static int enter(const char *name, const gpu *g) {
    while (is("hang", name)) usleep(1000);
    if (is("fail", name)) return 4;
    if (g && number("lost", -1) == g->index) return 15;
    return 0;
}

#define ENTER(g) do { int r = enter(__func__, g); if (r) return r; } while (0)
#define TEXT(...) (snprintf(out, size, __VA_ARGS__), 0)

#ifndef DRIVER_VERSION
#define DRIVER_VERSION "570.86.15"
#endif

#ifndef NOT_NVML

int nvmlInit_v2(void) {
    ENTER(NULL);
    return number("init", 0);
}
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { (void)code; return "shim"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { return TEXT(DRIVER_VERSION); }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu **g) {
    if (index > 1) return 2;
    ENTER(&gpus[index]);
    *g = &gpus[index];
    return 0;
}
int nvmlDeviceGetUUID(gpu *g, char *out, unsigned size) {
    ENTER(g);
    return TEXT(g->index == 2 ? "MIG-%d" : "GPU-%d", g->index);
}
int nvmlDeviceGetName(gpu *g, char *out, unsigned size) { ENTER(g); return TEXT("Shim GPU"); }
int nvmlDeviceGetMemoryInfo(gpu *g, uint64_t m[3]) { ENTER(g); m[0] = 1000; m[1] = 700; m[2] = 300; return 0; }
int nvmlDeviceGetUtilizationRates(gpu *g, unsigned u[2]) { ENTER(g); u[0] = 11; u[1] = 22; return 0; }
int nvmlDeviceGetTemperature(gpu *g, int sensor, unsigned *t) { (void)sensor; ENTER(g); *t = 44; return 0; }
int nvmlDeviceGetFanSpeed(gpu *g, unsigned *speed) { ENTER(g); *speed = 35; return 0; }
int nvmlDeviceGetClockInfo(gpu *g, int kind, unsigned *mhz) { ENTER(g); *mhz = 1000 + kind; return 0; }
int nvmlDeviceGetPowerUsage(gpu *g, unsigned *mw) { ENTER(g); *mw = 100000 + g->index; return 0; }

#ifndef OLD_DRIVER

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12080; return 0; }
int nvmlDeviceGetSerial(gpu *g, char *out, unsigned size) { ENTER(g); return TEXT("serial-%d", g->index); }
int nvmlDeviceGetVbiosVersion(gpu *g, char *out, unsigned size) { ENTER(g); return TEXT("vbios"); }

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_info;
int nvmlDeviceGetPciInfo_v3(gpu *g, pci_info *p) {
    ENTER(g);
    memset(p, 0, sizeof *p);
    p->domain = 1; p->bus = 0x3b; p->device = g->index;
    return 0;
}

typedef struct { unsigned version; uint64_t total, reserved, free, used; } memory_v2;
int nvmlDeviceGetMemoryInfo_v2(gpu *g, memory_v2 *m) {
    ENTER(g);
    if (m->version != (sizeof *m | 2 << 24)) return 25;
    m->total = 1000; m->reserved = 50; m->free = 650; m->used = 300;
    return 0;
}
int nvmlDeviceGetBAR1MemoryInfo(gpu *g, uint64_t m[3]) { ENTER(g); m[0] = 256; m[1] = 200; m[2] = 56; return 0; }

typedef struct { uint64_t at; union { unsigned u; uint64_t raw; } value; } sample;
int nvmlDeviceGetSamples(gpu *g, int kind, uint64_t since, unsigned *type, unsigned *count, sample *samples) {
    (void)since;
    ENTER(g);
    if (kind > 4) return 3; // neither JPEG nor OFA
    *type = 1;
    for (unsigned i = 0; samples && i < 2; i++) {
        samples[i].at = now_us() - 1000 * (2 - i);
        samples[i].value.u = 10 * kind + 20 * i;
    }
    *count = 2;
    return 0;
}
int nvmlDeviceGetEncoderUtilization(gpu *g, unsigned *u, unsigned *period) { ENTER(g); *u = 61; *period = 1; return 0; }
int nvmlDeviceGetDecoderUtilization(gpu *g, unsigned *u, unsigned *period) { ENTER(g); *u = 62; *period = 1; return 0; }
int nvmlDeviceGetJpgUtilization(gpu *g, unsigned *u, unsigned *period) { ENTER(g); *u = 63; *period = 1; return 0; }
int nvmlDeviceGetOfaUtilization(gpu *g, unsigned *u, unsigned *period) { ENTER(g); *u = 64; *period = 1; return 0; }

typedef struct { unsigned version, sensor; int celsius; } temperature_v1;
int nvmlDeviceGetTemperatureV(gpu *g, temperature_v1 *t) { ENTER(g); t->celsius = 45; return 0; }
int nvmlDeviceGetTemperatureThreshold(gpu *g, int kind, unsigned *t) { ENTER(g); *t = 90 + kind; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(gpu *g, unsigned *mw) { ENTER(g); *mw = 200000; return 0; }
int nvmlDeviceGetPowerManagementDefaultLimit(gpu *g, unsigned *mw) { ENTER(g); *mw = 210000; return 0; }
int nvmlDeviceGetPowerManagementLimitConstraints(gpu *g, unsigned *lowest, unsigned *highest) {
    ENTER(g);
    *lowest = 90000; *highest = 250000;
    return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(gpu *g, uint64_t *mj) { ENTER(g); *mj = 7000; return 0; }
int nvmlDeviceGetNumFans(gpu *g, unsigned *count) { ENTER(g); *count = 2; return 0; }
int nvmlDeviceGetFanSpeed_v2(gpu *g, unsigned fan, unsigned *speed) { ENTER(g); *speed = 30 + fan; return 0; }

typedef struct { unsigned version, fan, speed; } fan_speed;
int nvmlDeviceGetFanSpeedRPM(gpu *g, fan_speed *f) { ENTER(g); f->speed = 1234; return 0; }
int nvmlDeviceGetMaxClockInfo(gpu *g, int kind, unsigned *mhz) { ENTER(g); *mhz = 2000 + kind; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(gpu *g, uint64_t *mask) { ENTER(g); *mask = 0x4; return 0; }
int nvmlDeviceGetPerformanceState(gpu *g, int *state) { ENTER(g); *state = 2; return 0; }
int nvmlDeviceGetCurrPcieLinkGeneration(gpu *g, unsigned *v) { ENTER(g); *v = 4; return 0; }
int nvmlDeviceGetCurrPcieLinkWidth(gpu *g, unsigned *v) { ENTER(g); *v = 16; return 0; }
int nvmlDeviceGetPcieThroughput(gpu *g, int counter, unsigned *kib) { ENTER(g); *kib = 10 + counter; return 0; }
int nvmlDeviceGetPcieReplayCounter(gpu *g, unsigned *v) { ENTER(g); *v = 3; return 0; }
int nvmlDeviceGetTotalEccErrors(gpu *g, int kind, int counter, uint64_t *v) {
    (void)counter;
    ENTER(g);
    *v = kind ? 1 : 7;
    return 0;
}
int nvmlDeviceGetRemappedRows(gpu *g, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    ENTER(g);
    *corrected = 2; *uncorrected = 1; *pending = 1; *failed = 0;
    return 0;
}

typedef struct {
    unsigned id, scope;
    int64_t at, latency;
    unsigned type, result;
    union { unsigned u; uint64_t ull; } value;
} field;
int nvmlDeviceGetFieldValues(gpu *g, int count, field *fields) {
    ENTER(g);
    for (int i = 0; i < count; i++) {
        field *f = &fields[i];
        f->result = 0; f->type = 3; f->value.ull = f->id * 1000;
        if (f->id == 82) { f->type = 1; f->value.u = 66; }   // memory temperature
        if (f->id >= 269) f->result = 3;                     // newer drivers only
        if (f->id == 138 && f->scope != 0xFFFFFFFF) f->result = 2;
    }
    return 0;
}

typedef struct { unsigned pid; uint64_t used; unsigned gpu_instance, compute_instance; } process;
int nvmlDeviceGetComputeRunningProcesses_v3(gpu *g, unsigned *count, process *p) {
    ENTER(g);
    if (*count < 2) { *count = 2; return 7; }
    p[0] = (process){4000, 1 << 20, 0xFFFFFFFF, 0xFFFFFFFF};
    p[1] = (process){5000, UINT64_MAX, 0xFFFFFFFF, 0xFFFFFFFF}; // NVML_VALUE_NOT_AVAILABLE
    *count = 2;
    return 0;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(gpu *g, unsigned *count, process *p) {
    ENTER(g);
    p[0] = (process){4000, 1 << 20, 0xFFFFFFFF, 0xFFFFFFFF}; // also in the list of compute processes
    *count = 1;
    return 0;
}

typedef struct { unsigned pid; uint64_t at; unsigned general, memory, encoder, decoder; } process_sample;
int nvmlDeviceGetProcessUtilization(gpu *g, process_sample *p, unsigned *count, uint64_t since) {
    (void)since;
    ENTER(g);
    if (!p) { *count = 1; return 7; }
    if (number("fewer", -1) >= 0) { *count = 1000; return 7; }
    p[0] = (process_sample){4000, now_us(), 50, 40, 30, 20};
    *count = 1;
    return 0;
}

int nvmlDeviceGetMigMode(gpu *g, unsigned *current, unsigned *pending) {
    ENTER(g);
    *current = *pending = g->index == 0 && number("mig", -1) >= 0;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(gpu *g, unsigned *count) { ENTER(g); *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(gpu *g, unsigned index, gpu **instance) {
    ENTER(g);
    if (index != 3) return 6; // there can be gaps in the indices
    *instance = &gpus[2];
    return 0;
}
int nvmlDeviceGetGpuInstanceId(gpu *g, unsigned *id) { ENTER(g); *id = 9; return 0; }
int nvmlDeviceGetComputeInstanceId(gpu *g, unsigned *id) { ENTER(g); *id = 0; return 0; }

typedef struct {
    unsigned multiprocessors, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices;
    uint64_t memory_mib;
} attributes;
int nvmlDeviceGetAttributes_v2(gpu *g, attributes *a) {
    ENTER(g);
    memset(a, 0, sizeof *a);
    a->gpu_slices = a->compute_slices = 1; a->memory_mib = 9856;
    return 0;
}

typedef struct { gpu *device; uint64_t type, data; unsigned gpu_instance, compute_instance; } event;
static int set, delivered = -1; // delivered is the last XID that nvmlEventSetWait returned
int nvmlEventSetCreate(int **s) { *s = &set; return 0; }
int nvmlEventSetFree(int *s) { (void)s; return 0; }
int nvmlDeviceGetSupportedEventTypes(gpu *g, uint64_t *types) { ENTER(g); *types = 0x1f; return 0; }
int nvmlDeviceRegisterEvents(gpu *g, uint64_t types, int *s) { (void)s; ENTER(g); return types == 0xa ? 0 : 2; }
int nvmlEventSetWait_v2(int *s, event *e, unsigned timeout_ms) {
    (void)s;
    for (unsigned ms = 0; ms < timeout_ms; ms++) {
        int xid = number("xid", -1);
        if (xid >= 0 && xid != delivered) {
            delivered = xid;
            *e = (event){&gpus[1], 8, xid, 0xFFFFFFFF, 0xFFFFFFFF};
            return 0;
        }
        usleep(1000);
    }
    return 10;
}
#endif // OLD_DRIVER
#endif // NOT_NVML
