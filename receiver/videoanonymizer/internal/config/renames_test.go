// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// TestFormerNames reads configurations that use former names of keys.
func TestFormerNames(t *testing.T) {
	former := []rename{
		{"output::crf", "output::quality", "v9.0.0"},
		{"lookahead", "look_ahead", "v9.0.0"},
		{"faces::model", "detector::faces", "v9.0.0"}, // to another block
	}
	for name, c := range map[string]struct {
		given, want map[string]any
		warnings    []string
		err         string
	}{
		"none": {
			given: map[string]any{"look_ahead": "2s"},
			want:  map[string]any{"look_ahead": "2s"},
		},
		"a key": {
			given:    map[string]any{"lookahead": "2s"},
			want:     map[string]any{"look_ahead": "2s"},
			warnings: []string{"lookahead is now look_ahead: use that name, since v9.0.0 no longer reads the former one"},
		},
		"in a block": {
			given:    map[string]any{"output": map[string]any{"crf": 20, "directory": "o"}},
			want:     map[string]any{"output": map[string]any{"quality": 20, "directory": "o"}},
			warnings: []string{"output::crf is now output::quality: use that name, since v9.0.0 no longer reads the former one"},
		},
		"to another block": {
			given: map[string]any{"faces": map[string]any{"model": ""}},
			want:  map[string]any{"detector": map[string]any{"faces": ""}},
			warnings: []string{
				"faces::model is now detector::faces: use that name, since v9.0.0 no longer reads the former one"},
		},
		"both": {
			given: map[string]any{"lookahead": "2s", "look_ahead": "1s"},
			want:  map[string]any{"lookahead": "2s", "look_ahead": "1s"},
			err:   "lookahead is the former name of look_ahead, and both are set: remove lookahead",
		},
	} {
		t.Run(name, func(t *testing.T) {
			conf := confmap.NewFromStringMap(c.given)
			warnings, err := rewrite(conf, former)
			if c.err != "" {
				require.EqualError(t, err, c.err)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, c.want, conf.ToStringMap())
			assert.Equal(t, c.warnings, warnings)
		})
	}
}

// TestFormerNameInConfiguration checks that the value is read, with and without recall: thorough, and that the receiver
// has a warning to log.
func TestFormerNameInConfiguration(t *testing.T) {
	defer func(before []rename) { renames = before }(renames)
	renames = []rename{{"detector::score", "detector::score_threshold", "v9.0.0"}}
	cfg := Default()
	conf := confmap.NewFromStringMap(map[string]any{"detector": map[string]any{"score": 0.77}})
	require.NoError(t, conf.Unmarshal(cfg))
	assert.Equal(t, 0.77, cfg.Detector.ScoreThreshold)
	assert.Equal(t, 0.77, cfg.AsThorough().Detector.ScoreThreshold)
	require.Len(t, cfg.Warnings(), 1)
	assert.Contains(t, cfg.Warnings()[0], "detector::score_threshold")
	assert.Empty(t, Default().Warnings())
}

// TestRenamesName checks that each rename is from a key that does not exist to one that does.
func TestRenamesName(t *testing.T) {
	known := confmap.New()
	require.NoError(t, known.Marshal(Default()))
	for _, r := range renames {
		assert.True(t, known.IsSet(r.to), r.to)
		assert.False(t, known.IsSet(r.from), r.from)
	}
}
