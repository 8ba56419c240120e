// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHEVCConversion checks that the stream specifies what the boxes leave unspecified.
func TestHEVCConversion(t *testing.T) {
	const scale = "scale=64:64:out_color_matrix=bt601:out_range=pc:"
	bt709 := probedStream{PixFmt: "yuv420p", Range: "tv", Matrix: "bt709", Transfer: "bt709"}
	hlg := probedStream{PixFmt: "yuv420p10le", Range: "tv", Matrix: "bt2020nc", Transfer: hlgTransfer}
	for name, tc := range map[string]struct {
		colors *HEVCColors
		stream probedStream
		filter string // "" if it is refused
	}{
		"the stream":             {nil, bt709, scale + "in_range=tv:in_color_matrix=bt709"},
		"the boxes":              {&HEVCColors{1, 13, 6, true}, bt709, scale + "in_range=pc:in_color_matrix=bt601"},
		"boxes without a matrix": {&HEVCColors{1, 13, 2, true}, bt709, scale + "in_range=pc:in_color_matrix=bt709"},
		"no matrix at all": {
			&HEVCColors{2, 2, 2, false}, probedStream{PixFmt: "yuv420p"}, scale + "in_range=tv:in_color_matrix=bt601",
		},
		"HDR by the stream":       {nil, hlg, ""},
		"HDR, unspecified":        {&HEVCColors{2, 2, 9, true}, hlg, ""},
		"HDR that the boxes deny": {&HEVCColors{1, 13, 9, true}, hlg, scale + "in_range=pc:in_color_matrix=bt2020"},
	} {
		t.Run(name, func(t *testing.T) {
			filter, _, err := HEVCPictures{Width: 64, Height: 64, Colors: tc.colors}.conversion(tc.stream)
			if tc.filter == "" {
				require.ErrorIs(t, err, ErrUnsupported)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, tc.filter, filter)
		})
	}
}
