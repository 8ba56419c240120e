// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

func parse(t *testing.T, text string) (*Config, error) {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &raw))
	cfg := Default()
	if err := confmap.NewFromStringMap(raw).Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

// TestProfiles reads the example in the receiver's README.
func TestProfiles(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	section := regexp.MustCompile("(?s)### Profiles.*?```yaml\nreceivers:\n  videoanonymizer:\n(.*?)```")
	example := section.FindSubmatch(readme)
	require.NotNil(t, example)
	cfg, err := parse(t, string(regexp.MustCompile(`(?m)^    `).ReplaceAll(example[1], nil)))
	require.NoError(t, err)

	for _, test := range []struct{ source, rel, want string }{
		{"/v/incoming/ward/monday/bed3.mkv", "ward/monday/bed3.mkv", "ward"},
		{"/v/incoming/ward/yard-1.mkv", "ward/yard-1.mkv", "ward"}, // the first match applies
		{"/v/incoming/a/yard-1.mkv", "a/yard-1.mkv", "yard"},
		{"/mnt/cameras/1/a.mp4", "a.mp4", "yard"},
		{"/v/incoming/backward/a.mkv", "backward/a.mkv", ""},
		{"/v/incoming/ward", "ward.mkv", ""},
	} {
		assert.Equal(t, test.want, cfg.For(test.source, test.rel).Profile(), test.rel)
	}
	ward, yard, other := cfg.For("/ward/a", "ward/a"), cfg.For("/yard-1.mkv", "yard-1.mkv"), cfg.For("/a", "a")
	assert.Equal(t, Thorough, ward.Recall)
	assert.Equal(t, 1, ward.DetectEvery)
	assert.Equal(t, 2, ward.Detector.Tiles, "as recall says")
	assert.Equal(t, mask.Whitelist, ward.Mask.Method)
	assert.Equal(t, mask.Solid, ward.Mask.Fill)
	assert.Equal(t, Balanced, yard.Recall)
	assert.Equal(t, 2, yard.Detector.Tiles)
	assert.Equal(t, mask.Mosaic, yard.Mask.Fill, "as the receiver says")
	assert.Equal(t, 28, *yard.Output.Quality)
	assert.Equal(t, "videos/anonymized", yard.Output.Directory)
	assert.Equal(t, 2, yard.AsThorough().Detector.Tiles)
	assert.Equal(t, "yard", yard.AsThorough().Profile())
	assert.Equal(t, Balanced, other.Recall)
	assert.Equal(t, 1, other.Detector.Tiles)
	assert.Nil(t, other.Output.Quality)
	assert.Len(t, cfg.Profiled(), 2)
	assert.Empty(t, other.Profiles, "what others change does not matter to a video")

	cfg.Console, cfg.Output.Directory = nil, "elsewhere" // as a program may do after reading
	assert.Equal(t, "elsewhere", cfg.For("/ward/a", "ward/a").Output.Directory)
}

func TestProfileTakesPrecedence(t *testing.T) {
	cfg, err := parse(t, `
watch: {include: [in]}
output: {directory: out}
detect_every: 4
mask: {regions: [{action: mask, polygon: [[0, 0], [1, 0], [1, 1]]}]}
profiles:
  - {name: a, include: [a], recall: thorough}
  - {name: b, include: [b], recall: thorough, detect_every: 2, mask: {regions: []}}
`)
	require.NoError(t, err)
	assert.Equal(t, 4, cfg.For("/a", "a").DetectEvery, "a key that is given counts more than recall")
	assert.Len(t, cfg.For("/a", "a").Mask.Regions, 1)
	assert.Equal(t, 2, cfg.For("/b", "b").DetectEvery)
	assert.Empty(t, cfg.For("/b", "b").Mask.Regions)
}

// TestProfileOutput checks that each key of output that a profile may set takes effect.
func TestProfileOutput(t *testing.T) {
	values := map[string]any{"codec": "ffv1", "pixel_format": "same", "quality": 28, "webp_quality": 75,
		"jpeg_quality": 80, "preset": "slow", "audio": "mute", "keep": []any{"chapters"}}
	require.ElementsMatch(t, profileOutputKeys, slices.Collect(maps.Keys(values)))
	cfg := Default()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"watch": map[string]any{"include": []any{"in"}}, "output": map[string]any{"directory": "out"},
		"profiles": []any{map[string]any{"name": "a", "include": []any{"a"}, "output": values}},
	}).Unmarshal(cfg))
	want := cfg.Output
	require.NoError(t, confmap.NewFromStringMap(values).Unmarshal(&want))
	require.NotEqual(t, cfg.Output, want)
	assert.Equal(t, want, cfg.For("/a", "a").Output)
}

func TestInvalidProfiles(t *testing.T) {
	_, err := parse(t, `
watch: {include: [in]}
output: {directory: out, codec: divx}
profiles:
  - {include: ["[", ""], recall: high}
  - {name: a, watch: {include: [b]}, mask: {shape: star}, output: {directory: x, quality: 99}}
  - {name: a, include: [a], max_concurrent_videos: 2}
  - {name: b/c, include: [a], mask: {method: whitelist}, detect_every: 3}
`)
	require.Error(t, err)
	for _, want := range []string{
		`profiles[0]::name: "" is not a valid name`, `profiles[0]::include: "[" is not a valid pattern`,
		`profiles[0]::include: "" is not`, `profiles[0]::recall: "high" is not known`,
		"profiles[a]::include: is required", "profiles[a]::watch: profiles cannot set it: use recall,",
		`profiles[a]::mask::shape: "star" is not known`, "profiles[a]::output::directory: profiles cannot set it: use codec",
		"profiles[a]::name: a is used twice", "profiles[a]::max_concurrent_videos: profiles cannot set it",
		`profiles[b/c]::name: "b/c" is not a valid name`, "profiles[b/c]::detect_every: 3 leaves frames without silhouettes",
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "]::output::codec", "what is wrong with the receiver's own keys is said once")
	_, err = parse(t, "watch: {include: [in]}\noutput: {directory: out}\n"+
		"profiles: [{name: a, include: [a], mask: {shap: box}}]")
	assert.ErrorContains(t, err, "profiles[a]")
	assert.ErrorContains(t, err, "shap")
}

// TestProfilesOnServers checks that models on servers may be those of the receiver's own configuration or of any
// profile.
func TestProfilesOnServers(t *testing.T) {
	const text = `
watch: {include: [in]}
output: {directory: out}
detector: {model: nanodet-m}
inference: {remote: {endpoint: "grpcs://triton:8001", models: [nanodet-m, %s]}}
profiles:
  - {name: a, include: [a], detector: {model: /models/own.onnx}}
  - {name: b, include: [b], detector: {model: %s}}
`
	_, err := parse(t, fmt.Sprintf(text, "/models/own.onnx", "nanodet-m"))
	require.NoError(t, err)
	_, err = parse(t, fmt.Sprintf(text, "/models/other.onnx", "nanodet-m"))
	require.ErrorContains(t, err, `"/models/other.onnx" is not a model that another key names`)
	_, err = parse(t, fmt.Sprintf(text, "/models/own.onnx", "/others/own.onnx"))
	require.NoError(t, err, "one of them is not on a server")
	_, err = parse(t, fmt.Sprintf(text, "/models/own.onnx, /others/own.onnx", "/others/own.onnx"))
	require.ErrorContains(t, err, "have the same name on a server")
}
