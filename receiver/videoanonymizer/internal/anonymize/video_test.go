// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestVideosShareCores: together, decoders start no more threads than there are cores, and encoders no more than one
// and a half times as many, unless there are more videos than cores.
func TestVideosShareCores(t *testing.T) {
	for _, tc := range []struct {
		usable, all, videos int
		decoder, encoder    int
	}{
		{2, 2, 1, 0, 0},
		{2, 2, 4, 1, 1},
		{16, 16, 4, 4, 6},
		{16, 16, 3, 5, 8},
		{2, 64, 1, 2, 3}, // a container's quota
		{2, 64, 4, 1, 1},
		{1, 1, 1, 0, 0},
	} {
		decoder, encoder := videoThreads(tc.usable, tc.all, tc.videos)
		assert.Equal(t, fmt.Sprint(tc.decoder, tc.encoder), fmt.Sprint(decoder, encoder), "%+v", tc)
	}
}
