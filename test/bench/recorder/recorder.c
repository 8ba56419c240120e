// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0
//
// Stands in for ONNX Runtime's library: passes each call on to the real library, named by BENCH_ONNXRUNTIME, and writes
// the inputs of each inference to the file named by BENCH_RECORDING. recording.go describes the format.

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "onnxruntime_c_api.h"

// For each shape of a session's inputs, the contents of the first KEPT tensors are kept; for further tensors, only the
// fact that they occurred.
#define KEPT 4
#define SHAPES 4096

static const OrtApiBase *real_base;
static const OrtApi *real;
static OrtApiBase base;
static OrtApi api;
static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
  uint64_t key;
  int kept;
} shapes[SHAPES];

// keep reports whether to keep the content of another tensor with this shape.
static int keep(uint64_t key) {
  for (int i = 0; i < SHAPES; i++) {
    if (shapes[i].kept == 0) shapes[i].key = key;
    if (shapes[i].key == key) return shapes[i].kept++ < KEPT;
  }
  return 0;
}

static void put(uint64_t value) { fwrite(&value, sizeof value, 1, out); }

static void put_bytes(const void *bytes, size_t size) {
  put(size);
  fwrite(bytes, 1, size, out);
}

static size_t element_size(ONNXTensorElementDataType type) {
  switch (type) {
  case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return 1;
  case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return 4;
  case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return 8;
  default: return 0;
  }
}

static void put_tensor(OrtSession *session, const OrtValue *value) {
  OrtTensorTypeAndShapeInfo *info = NULL;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  size_t rank = 0, elements = 0;
  int64_t dims[16] = {0};
  void *data = NULL;
  real->GetTensorTypeAndShape(value, &info);
  real->GetTensorElementType(info, &type);
  real->GetDimensionsCount(info, &rank);
  real->GetDimensions(info, dims, rank < 16 ? rank : 16);
  real->GetTensorShapeElementCount(info, &elements);
  real->ReleaseTensorTypeAndShapeInfo(info);
  real->GetTensorMutableData((OrtValue *)value, &data);

  uint64_t key = (uint64_t)session;
  put(type);
  put(rank);
  for (size_t i = 0; i < rank && i < 16; i++) {
    put((uint64_t)dims[i]);
    key = key * 1000003 + (uint64_t)dims[i];
  }
  put_bytes(data, keep(key) ? elements * element_size(type) : 0);
}

static OrtStatus *ORT_API_CALL run(OrtSession *session, const OrtRunOptions *options, const char *const *input_names,
    const OrtValue *const *inputs, size_t input_count, const char *const *output_names, size_t output_count,
    OrtValue **outputs) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  pthread_mutex_lock(&lock);
  put('R');
  put((uint64_t)session);
  put((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
  put(input_count);
  for (size_t i = 0; i < input_count; i++) put_tensor(session, inputs[i]);
  fflush(out); // the collector exits without flushing
  pthread_mutex_unlock(&lock);
  return real->Run(session, options, input_names, inputs, input_count, output_names, output_count, outputs);
}

static OrtStatus *ORT_API_CALL create_session(const OrtEnv *env, const ORTCHAR_T *path,
    const OrtSessionOptions *options, OrtSession **session) {
  OrtStatus *status = real->CreateSession(env, path, options, session);
  if (status) return status;
  pthread_mutex_lock(&lock);
  put('S');
  put((uint64_t)*session);
  put_bytes(path, strlen(path));
  fflush(out);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static const OrtApi *ORT_API_CALL get_api(uint32_t version) {
  if (!real) {
    real = real_base->GetApi(version);
    if (!real) return NULL;
    api = *real;
    api.Run = run;
    api.CreateSession = create_session;
  }
  return &api;
}

const OrtApiBase *ORT_API_CALL OrtGetApiBase(void) {
  void *library = dlopen(getenv("BENCH_ONNXRUNTIME"), RTLD_NOW | RTLD_LOCAL);
  const OrtApiBase *(*get_base)(void) = library ? dlsym(library, "OrtGetApiBase") : NULL;
  out = fopen(getenv("BENCH_RECORDING"), "wb");
  if (!get_base || !out) return NULL;
  real_base = get_base();
  base = *real_base;
  base.GetApi = get_api;
  return &base;
}
