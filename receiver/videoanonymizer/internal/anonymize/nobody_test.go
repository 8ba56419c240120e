// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSampleIsSpread(t *testing.T) {
	assert.Empty(t, spread(0, 3))
	assert.Equal(t, []int{0}, spread(1, 3))
	assert.Equal(t, []int{0, 1, 2}, spread(3, 12))
	assert.Equal(t, []int{1, 5, 8}, spread(10, 3))
	assert.Equal(t, []int{12, 37, 62, 87}, spread(100, 4))
}

func TestSampleSize(t *testing.T) {
	for length, want := range map[time.Duration]int{
		0: 3, time.Second: 3, 4 * time.Second: 8, 10 * time.Second: 20, 9 * time.Minute: 20, 20 * time.Minute: 41,
		time.Hour: 100, 24 * time.Hour: 100,
	} {
		assert.Equal(t, want, sampleSize(length), length)
	}
}
