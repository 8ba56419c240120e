// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/oip"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
)

// TestFingerprintOfProfile checks that an interrupted video is resumed unless its own profile changed.
func TestFingerprintOfProfile(t *testing.T) {
	type keys = map[string]any
	fingerprint := func(change func(receiver, ward, yard keys)) string {
		ward := keys{"name": "ward", "include": []any{"ward/**"}, "recall": "fast"}
		yard := keys{"name": "yard", "include": []any{"yard/**"}}
		receiver := keys{"profiles": []any{ward, yard}}
		change(receiver, ward, yard)
		cfg := config.Default()
		require.NoError(t, confmap.NewFromStringMap(receiver).Unmarshal(cfg))
		r := &Runner{Config: cfg, Models: &Models{profiles: map[string]profileLooks{"ward": {}, "beds": {}}}}
		const rel = "ward/bed.mkv"
		as, err := r.For("/in/"+rel, rel)
		require.NoError(t, err)
		sum, err := as.fingerprint(file{Path: "/in/" + rel})
		require.NoError(t, err)
		return sum
	}
	unchanged := fingerprint(func(keys, keys, keys) {})
	for name, test := range map[string]struct {
		change func(receiver, ward, yard keys)
		same   bool
	}{
		"nothing":           {func(keys, keys, keys) {}, true},
		"another profile":   {func(_, _, yard keys) { yard["recall"] = "thorough" }, true},
		"retention":         {func(r, _, _ keys) { r["retention"] = keys{"journal": "720h"} }, true},
		"resources":         {func(r, _, _ keys) { r["resources"] = keys{"cpus": 1, "nice": 19, "io_class": "idle"} }, true},
		"its profile":       {func(_, ward, _ keys) { ward["mask"] = keys{"shape": "box"} }, false},
		"its name":          {func(_, ward, _ keys) { ward["name"] = "beds" }, false},
		"what it inherits":  {func(r, _, _ keys) { r["mask"] = keys{"shape": "box"} }, false},
		"no longer in it":   {func(_, ward, _ keys) { ward["include"] = []any{"beds/**"} }, false},
		"what it overrides": {func(r, _, _ keys) { r["recall"] = "thorough" }, true},
		"another encoder":   {func(r, _, _ keys) { r["tools"] = keys{"ffmpeg": "/opt/ffmpeg"} }, false},
		"another GPU":       {func(r, _, _ keys) { r["tools"] = keys{"vaapi_device": "/dev/dri/renderD129"} }, false},
		"rights of ffmpeg":  {func(r, _, _ keys) { r["tools"] = keys{"confine": "off"} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.same, fingerprint(test.change) == unchanged)
		})
	}
}

// TestFingerprintOfShare checks that machines of a share that have ffmpeg elsewhere can continue each other's videos.
func TestFingerprintOfShare(t *testing.T) {
	fingerprint := func(ffmpeg string) string {
		cfg := config.Default()
		cfg.Tools.FFmpeg = ffmpeg
		sum, err := (&Runner{Config: cfg, Models: &Models{}}).fingerprint(file{Path: "/in/a.mkv", Shared: "in/a.mkv"})
		require.NoError(t, err)
		return sum
	}
	assert.Equal(t, fingerprint("ffmpeg"), fingerprint("/opt/ffmpeg"))
}

// TestMadeByEither checks that machines that differ in where files are, and in how much they do at once, make the same
// outputs.
func TestMadeByEither(t *testing.T) {
	type keys = map[string]any
	made := func(keys keys) string {
		cfg := config.Default()
		require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(cfg))
		sum, err := (&Runner{Config: cfg, Models: &Models{}}).made()
		require.NoError(t, err)
		return sum
	}
	for name, test := range map[string]struct {
		keys keys
		same bool
	}{
		"watched folder": {keys{"watch": keys{"include": []any{"/srv/in/*"}}}, true},
		"output folder":  {keys{"output": keys{"directory": "/srv/out"}}, true},
		"other folders":  {keys{"output": keys{"state_directory": "/s", "quarantine_directory": "/q"}}, true},
		"source moved":   {keys{"output": keys{"on_success": "move", "move_to": "/done"}}, true},
		"free space":     {keys{"output": keys{"min_free_space": 7}}, true},
		"models folder":  {keys{"models": keys{"directory": "/models"}}, true},
		"videos at once": {keys{"max_concurrent_videos": 7}, true},
		"units at once":  {keys{"max_concurrent_units": 7}, true},
		"unit length":    {keys{"unit_length": "7m"}, false},
		"console":        {keys{"console": "anonymizer_console"}, true},
		"mask":           {keys{"mask": keys{"shape": "box"}}, false},
		"codec":          {keys{"output": keys{"codec": "hevc"}}, false},
		"segments":       {keys{"output": keys{"segment_length": "7s"}}, false},
		"names":          {keys{"output": keys{"name": "{name}_x"}}, false},
		"tools": {keys{"tools": keys{
			"ffmpeg": "/opt/ffmpeg", "ffprobe": "/opt/ffprobe", "confine": "off", "vaapi_device": "/dev/dri/renderD129",
		}}, true},
		"threads": {keys{"inference": keys{
			"library": "/opt/ort.so", "threads": 3, "sessions": 2, "timeout": "7s",
			"provider_options": keys{"device_id": "1"},
		}}, true},
		"decoder":         {keys{"tools": keys{"decoder": "vaapi"}}, false},
		"model":           {keys{"detector": keys{"model": "centernet"}}, false},
		"provider":        {keys{"inference": keys{"provider": "cuda"}}, false},
		"look-ahead":      {keys{"look_ahead": "2s"}, false},
		"what is salvage": {keys{"on_damaged": "salvage"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.same, made(test.keys) == made(keys{}))
		})
	}
}

// TestProfileSharesModels checks that a profile's videos wait for the same inference servers and share the same
// workers.
func TestProfileSharesModels(t *testing.T) {
	cfg := config.Default()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"profiles": []any{
		map[string]any{"name": "ward", "include": []any{"ward/**"}, "recall": "fast"},
	}}).Unmarshal(cfg))
	all := &Models{client: &oip.Client{}, pool: pipeline.NewPool(2), profiles: map[string]profileLooks{"ward": {}}}
	r := &Runner{Config: cfg, Models: all}
	ward, err := r.For("/in/ward/bed.mkv", "ward/bed.mkv")
	require.NoError(t, err)
	for _, as := range []*Runner{ward, r.asThorough()} {
		assert.NotSame(t, all, as.Models)
		assert.Same(t, all.client, as.Models.client)
		assert.Equal(t, all.pool, as.Models.pool)
	}
}

// TestProfileWithoutModels checks that a video is not anonymized if the models of its profile are missing: nobody would
// be found in it.
func TestProfileWithoutModels(t *testing.T) {
	cfg := config.Default()
	cfg.Profiles = []config.Profile{{Name: "ward", Include: []string{"ward/**"}}}
	r := &Runner{Config: cfg, Models: &Models{}}
	_, err := r.For("/in/ward/bed.mkv", "ward/bed.mkv")
	assert.ErrorIs(t, err, errNoProfile)
	_, err = r.For("/in/walk.mkv", "walk.mkv")
	assert.NoError(t, err)
}
