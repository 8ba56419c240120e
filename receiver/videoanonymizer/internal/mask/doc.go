// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package mask finds where a person's head is, from hair or hat to chin, and covers it on a frame's planes. In doubt it
// covers more: estimates that disagree are united, outlines are rounded outward, and what makes no sense covers the frame.
package mask
