// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// TestMisspeltKeys checks that unknown keys and values of a wrong type are reported like all other mistakes, with a
// suggestion, and do not hide the others.
func TestMisspeltKeys(t *testing.T) {
	type keys = map[string]any
	base := func(more keys) keys {
		all := keys{"watch": keys{"include": []any{"in"}}, "output": keys{"directory": "out"}}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	for name, test := range map[string]struct {
		keys keys
		want []string // whole lines
	}{
		"block": {base(keys{"masks": keys{"fill": "blur"}}), []string{
			"masks: there is no such key: did you mean mask?",
		}},
		"key": {base(keys{"mask": keys{"fil": "blur"}}), []string{
			"mask::fil: there is no such key: did you mean fill?",
		}},
		"nothing near": {base(keys{"schedule": keys{"weekdays": "mon"}}), []string{
			"schedule::weekdays: there is no such key: use one of hours, on_battery, max_others, running",
		}},
		"nested": {base(keys{"detector": keys{"survey": keys{"intervall": "3s"}}}), []string{
			"detector::survey::intervall: there is no such key: did you mean interval?",
		}},
		"in a list": {base(keys{"mask": keys{"regions": []any{keys{"action": "mask", "form": "3s"}}}}), []string{
			"mask::regions[0]::form: there is no such key: use one of polygon, action, from, to",
		}},
		"profile": {base(keys{"profiles": []any{keys{"name": "ward", "include": []any{"a"}, "mask": keys{"fil": "blur"}}}}),
			[]string{"profiles[ward]::mask::fil: there is no such key: did you mean fill?"}},
		"all at once": {
			keys{
				"watch":     keys{"include": []any{"in"}, "stable_fur": "3s"},
				"output":    keys{"directory": "out", "quality": 99},
				"resources": keys{"cpus": "150%"},
				"recall":    "best",
			},
			[]string{
				"watch::stable_fur: there is no such key: did you mean stable_for?",
				"resources::cpus: expected type 'int', got unconvertible type 'string'",
				"output::quality: 99 is out of range: write 0 to 51 (lower is better and larger; 18 to 28 is usual)",
				`recall: "best" is not known: use one of fast, balanced, thorough`,
			},
		},
		"value of the receiver's own form": {base(keys{"detector": keys{"input_size": "big", "tiles": 9}}), []string{
			"detector::input_size: big: write auto, the long side", "detector::tiles: 9 is out of range",
		}},
		"duration": {base(keys{"retention": keys{"outputs": "10d"}, "unit_length": "long"}), []string{
			"retention::outputs: is not a duration: write a number and its unit, ms, s, m or h, such as 30s or 240h",
			"unit_length: is not a duration: ",
		}},
		"what cannot be read is named once": {keys{"watch": keys{"include": keys{}}, "output": keys{"directory": "out"}},
			[]string{"watch::include: "}},
	} {
		t.Run(name, func(t *testing.T) {
			err := confmap.NewFromStringMap(test.keys).Unmarshal(Default())
			require.Error(t, err)
			assert.NotContains(t, Explain(err).Error(), "decoding failed")
			for _, want := range test.want {
				assert.ErrorContains(t, err, want)
			}
			assert.NotContains(t, err.Error(), "is required")
		})
	}
}

// TestBlame checks that of several files, the one that is not YAML is named.
func TestBlame(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(good, []byte("receivers: {videoanonymizer: {recall: fast}}\n"), 0o600))
	require.NoError(t, os.WriteFile(bad, []byte("receivers:\n  videoanonymizer:\n   a: 1\n    b: 2\n"), 0o600))
	_, err := Load(t.Context(), "", good, bad)
	require.Error(t, err)
	assert.ErrorContains(t, err, bad+": ")
	assert.ErrorContains(t, err, "yaml: line ")
	assert.NotContains(t, err.Error(), good)
}
