// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package mask locates people's heads, from hair or hat to chin, and covers them on a frame's planes. In doubt it
// covers more: it unites estimates that disagree, rounds outlines outward, and covers the whole frame if an estimate
// makes no sense.
//
// A mask goes through three steps: locate.go, face.go and body.go turn keypoints, faces and silhouettes into a Head or
// Body in pixels of the frame; contour.go determines which samples of each plane it touches; fill.go determines what
// those show instead.
package mask
