// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package models is the catalog of the neural networks that the pipeline can use, and finds their files on disk.
// The files themselves are made by the command in cmd/models; this package only describes and checks them.
package models
