// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"image"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSearchUsesEveryLook checks that a frame is searched with every look, and that a frame that cannot be searched is
// an error.
func TestSearchUsesEveryLook(t *testing.T) {
	someone := stage{people: func(int) []image.Rectangle { return person(100, 40, farHeight) }}
	empty := stage{people: func(int) []image.Rectangle { return nil }}

	heads, err := Search(t.Context(), someone.frame(0), adaptive(t))
	require.NoError(t, err)
	require.Len(t, heads, 1, "a quick look does not show them")
	assert.InDelta(t, 104, heads[0].X, 4)
	heads, err = Search(t.Context(), empty.frame(0), adaptive(t))
	require.NoError(t, err)
	assert.Empty(t, heads)

	for name, fail := range map[string]func(int) error{
		"error": func(int) error { return errors.New("session broke") },
		"panic": func(int) error { panic("index out of range") },
	} {
		opts := adaptive(t)
		opts.Full.Detector = &detector{seen: map[int]bool{}, fail: fail}
		_, err := Search(t.Context(), empty.frame(0), opts)
		require.Error(t, err, name)
	}
}
