// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0
//
// Precedes OpenCV's own list of modules on the include path: gocv needs only these three, and Debian's list would
// require the headers of some 370 packages.
#define HAVE_OPENCV_CORE
#define HAVE_OPENCV_IMGPROC
#define HAVE_OPENCV_IMGCODECS
