// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

// TestVideosShareCores checks that together, decoders start no more threads than there are cores, and encoders no more
// than one and a half times as many, unless there are more videos than cores.
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

// TestAgain checks that an error that another pass avoids leads to that pass, in the second pass as in the first, but
// never forever.
func TestAgain(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		passes    []error
		want      error
		thorough  bool
		undivided bool
	}{
		"done":                       {passes: []error{nil}},
		"broken":                     {passes: []error{broken}, want: broken},
		"units":                      {passes: []error{errUndivided, nil}, undivided: true},
		"nothing to resume":          {passes: []error{media.ErrResume, nil}},
		"nor after that":             {passes: []error{media.ErrResume, media.ErrResume}, want: media.ErrResume},
		"overlooked":                 {passes: []error{errOverlooked, nil}, thorough: true},
		"overlooked, units":          {passes: []error{errOverlooked, errUndivided, nil}, thorough: true, undivided: true},
		"units, overlooked":          {passes: []error{errUndivided, errOverlooked, nil}, thorough: true, undivided: true},
		"resume, overlooked, resume": {passes: []error{media.ErrResume, errOverlooked, media.ErrResume, nil}, thorough: true},
		"undivided twice":            {passes: []error{errUndivided, errUndivided}, want: errUndivided, undivided: true},
		"all": {passes: []error{media.ErrResume, errUndivided, errOverlooked, media.ErrResume, broken}, want: broken,
			thorough: true, undivided: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := &video{Runner: &Runner{Config: config.Default(), Models: &Models{}}, logger: zap.NewNop(),
				span: &telemetry.VideoSpan{}, second: &report.SecondPass{}}
			v.Config.Recall = config.Balanced
			left := tc.passes[1:]
			err := v.again(t.Context(), tc.passes[0], func() error {
				require.NotEmpty(t, left, "restarted too often")
				err := left[0]
				left = left[1:]
				return err
			})
			assert.ErrorIs(t, err, tc.want)
			assert.Empty(t, left)
			assert.Equal(t, tc.thorough, v.Config.Recall == config.Thorough)
			assert.Equal(t, tc.undivided, v.division.undivided)
		})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	v := &video{logger: zap.NewNop()}
	assert.ErrorIs(t, v.again(ended, errUndivided, func() error { return broken }), errUndivided, "nothing is discarded")
}
