// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOptionValues checks the lists of values that configurations and their error messages use.
func TestOptionValues(t *testing.T) {
	assert.Equal(t, []string{"same", "mp4", "mov", "mkv", "webm", "avi", "ts"}, Containers())
	assert.Equal(t, []string{"same", "h264", "h265", "vp9", "av1", "ffv1"}, Codecs())
	assert.Equal(t, []string{"software", "nvenc", "vaapi"}, Encoders())
	assert.Equal(t, []string{"software", "cuda", "vaapi"}, Decoders())
	assert.Equal(t, []string{"drop", "copy", "mute", "alter"}, AudioModes())
	assert.Equal(t, []string{"auto", "same"}, PixelFormats())
	assert.Equal(t, "veryfast", Presets()[2])

	for container, want := range map[string][]string{
		"mp4": {"h264", "h265", "vp9", "av1"}, "mov": {"h264", "h265"}, "mkv": {"h264", "h265", "vp9", "av1", "ffv1"},
		"webm": {"vp9", "av1", "h264"}, "avi": {"h264", "ffv1"}, "ts": {"h264", "h265"}, "same": nil, "gif": nil,
	} {
		assert.Equal(t, want, ContainerCodecs(container), container)
	}
	for encoder, want := range map[string][]string{
		"software": Codecs(), "nvenc": {"same", "h264", "h265", "av1"}, "vaapi": {"same", "h264", "h265", "vp9",
			"av1"}, "gpu": nil,
	} {
		assert.Equal(t, want, EncoderCodecs(encoder), encoder)
	}
	assert.Equal(t, "vp9", CodecIn("webm", "h264"))
	assert.Equal(t, "h265", CodecIn("webm", "h265"))
	assert.Equal(t, "h264", CodecIn("same", "h264"))
}

func TestMaxQuality(t *testing.T) {
	for codec, want := range map[string]int{"h264": 51, "h265": 51, "vp9": 63, "av1": 63, "same": 51, "ffv1": 0,
		"divx": 0} {
		assert.Equal(t, want, MaxQuality(codec, Software), codec)
	}
	assert.Equal(t, 63, MaxQuality("av1", VAAPI))
	assert.Equal(t, 51, MaxQuality("av1", NVENC))
}

// TestPlanEveryOptionValue checks that exactly the combinations that the lists of values allow can be planned.
func TestPlanEveryOptionValue(t *testing.T) {
	info := plainInfo(t, "yuv420p", 64, 64)
	for _, container := range Containers() {
		for _, codec := range ContainerCodecs(container) {
			for _, encoder := range Encoders() {
				plan, err := NewPlan(info, WriteOptions{Container: container, Codec: codec, Encoder: encoder})
				if !slices.Contains(EncoderCodecs(encoder), CodecIn(container, codec)) {
					assert.ErrorIs(t, err, ErrUnsupported)
					continue
				}
				require.NoError(t, err)
				assert.Equal(t, CodecIn(container, codec), plan.codec.name)
			}
		}
	}
}
