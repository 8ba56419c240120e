// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const pq = "-pix_fmt yuv420p10le -color_range tv -colorspace bt2020nc -color_trc smpte2084 -color_primaries bt2020 "

const (
	p3Display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
	maxCLL    = "max-cll=1000,400"
)

// frameLight returns the first frame's HDR10 metadata by ffprobe's names.
func frameLight(t *testing.T, path string) map[string]float64 {
	t.Helper()
	light := map[string]float64{}
	for _, line := range ffprobe(t, path, "frame=side_data_list:frame_side_data", "-select_streams", "V:0",
		"-read_intervals", "%+#1") {
		for _, field := range strings.Split(line, "|") {
			key, value, _ := strings.Cut(field, "=")
			number, err := strconv.ParseFloat(value, 64)
			if r := rational(value); r.Num > 0 {
				number, err = r.Float(), nil
			}
			if err == nil {
				light[key] = number
			}
		}
	}
	return light
}

// TestHDR10 checks that mastering display and content light level are kept if the codec can carry them.
func TestHDR10(t *testing.T) {
	tools := testTools(t)
	for _, tc := range []struct {
		name, file, params, codec string
		want                      int // number of values of the first frame
	}{
		{"mkv", "a.mkv", p3Display + ":" + maxCLL, "h265", 12},
		{"mp4", "a.mp4", p3Display + ":" + maxCLL, "same", 12},
		{"ts", "a.ts", p3Display + ":" + maxCLL, "h265", 12},
		{"light level alone", "a.mkv", maxCLL, "h265", 2},
		{"neither", "a.mkv", "repeat-headers=1", "h265", 0},
		{"av1 in mp4", "a.mp4", p3Display + ":" + maxCLL, "av1", 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			in := clip(t, tc.file,
				testVideo("128x96", "10")+pq+"-c:v libx265 -preset ultrafast -x265-params log-level=error:"+tc.params)
			out := filepath.Join(t.TempDir(), tc.file)
			_, err := transcode(t.Context(), tools, in, out, ReadOptions{}, WriteOptions{Codec: tc.codec}, nil)
			require.NoError(t, err)
			want, got := frameLight(t, in), frameLight(t, out)
			require.Len(t, want, tc.want)
			require.Len(t, got, tc.want)
			for name, value := range want {
				assert.InDelta(t, value, got[name], 0.0001, name) // AV1 uses other denominators
			}
			after, err := tools.Probe(t.Context(), out, Limits{})
			require.NoError(t, err)
			assert.Equal(t, []string{"smpte2084", "bt2020", "bt2020nc"},
				[]string{after.ColorTransfer, after.ColorPrimaries, after.ColorMatrix})
		})
	}
}

// TestParseHDR10 checks that a container's metadata counts if it is complete and within bounds, and only the first of
// each kind.
func TestParseHDR10(t *testing.T) {
	const display = `"red_x":"34000/50000","red_y":"16000/50000","green_x":"13250/50000",` +
		`"green_y":"34500/50000","blue_x":"7500/50000",` +
		`"blue_y":"3000/50000","white_point_x":"15635/50000","white_point_y":"16450/50000",` +
		`"min_luminance":"50/10000","max_luminance":"10000000/10000"`
	whole := MasteringDisplay{Red: [2]float64{0.68, 0.32}, Green: [2]float64{0.265, 0.69}, Blue: [2]float64{0.15, 0.06},
		White: [2]float64{0.3127, 0.329}, Darkest: 0.005, Brightest: 1000}
	for _, tc := range []struct {
		name, sideData string
		mastering      MasteringDisplay
		light          ContentLight
	}{
		{"both, and a rotation", `[{"rotation":-90},{` + display + `},{"max_content":1000,"max_average":400}]`, whole,
			ContentLight{1000, 400}},
		{"two displays", `[{` + display + `},{` + strings.Replace(display, "34000", "30000", 1) + `}]`, whole,
			ContentLight{}},
		{"no colors", `[{"min_luminance":"50/10000","max_luminance":"10000000/10000"}]`, MasteringDisplay{},
			ContentLight{}},
		{"no luminance", `[{` + strings.Replace(display, "10000000/", "0/", 1) + `}]`, MasteringDisplay{},
			ContentLight{}},
		{"off the diagram", `[{` + strings.Replace(display, "34500", "64500", 1) + `}]`, MasteringDisplay{},
			ContentLight{}},
		{"too bright", `[{` + strings.Replace(display, "10000000/", "1000000000/", 1) + `}]`, MasteringDisplay{},
			ContentLight{}},
		{"not a number", `[{` + strings.Replace(display, "7500", "a:b", 1) + `}]`, MasteringDisplay{}, ContentLight{}},
		{"too large", `[{"max_content":4294967295,"max_average":400}]`, MasteringDisplay{}, ContentLight{}},
		{"negative", `[{"max_content":1000,"max_average":-1}]`, MasteringDisplay{}, ContentLight{}},
	} {
		var sideData []probedSideData
		require.NoError(t, json.Unmarshal([]byte(tc.sideData), &sideData), tc.name)
		var info Info
		info.setLight(sideData)
		assert.Equal(t, tc.mastering, info.Mastering, tc.name)
		assert.Equal(t, tc.light, info.Light, tc.name)
	}
	info := Info{Mastering: whole, Light: ContentLight{1000, 400}}
	mastering, light := x265Light(info)
	assert.Equal(t, []string{p3Display, maxCLL}, []string{mastering, light})
	mastering, light = svtLight(info)
	assert.Equal(t, []string{"mastering-display=G(0.265000,0.690000)B(0.150000,0.060000)" +
		"R(0.680000,0.320000)WP(0.312700,0.329000)L(1000.0000,0.005000)",
		"content-light=1000,400"}, []string{mastering, light})
}
