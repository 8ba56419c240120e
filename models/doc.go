// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package models contains the catalog of the neural networks that the pipeline can use, and finds their files on disk.
// The command in cmd/models downloads and converts the files; this package only describes and verifies them.
package models
