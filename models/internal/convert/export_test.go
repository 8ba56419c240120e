// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"maps"
	"slices"
)

// Supported lists the TensorFlow operations that can be converted.
func Supported() []string { return slices.Sorted(maps.Keys(ops)) }
