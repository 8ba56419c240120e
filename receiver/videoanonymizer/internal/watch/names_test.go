// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReserveOutputNames(t *testing.T) {
	tests := map[string]struct {
		inputs, taken, want []string
	}{
		"two containers": {
			inputs: []string{"walk.mkv", "walk.mp4"}, want: []string{"walk_anonymized-2.mkv", "walk_anonymized.mkv"},
		},
		"taken": {
			inputs: []string{"walk.mkv"}, taken: []string{"walk_anonymized.mkv", "walk_anonymized-2.mkv"},
			want: []string{"walk_anonymized-3.mkv"},
		},
		"sub-folder": {inputs: []string{"a/b/walk.mkv"}, want: []string{"a/b/walk_anonymized.mkv"}},
		"newline":    {inputs: []string{"a\nb.mkv"}, want: []string{"a\nb_anonymized.mkv"}},
		"not UTF-8":  {inputs: []string{"caf\xe9.mkv"}, want: []string{"caf\xe9_anonymized.mkv"}},
		"option":     {inputs: []string{"-i.mkv"}, want: []string{"-i_anonymized.mkv"}},
		"pattern": {
			inputs: []string{"%03d.mkv", "[a].mkv"}, want: []string{"%03d_anonymized.mkv", "[a]_anonymized.mkv"},
		},
		"protocol":     {inputs: []string{"concat:a|b.mkv"}, want: []string{"concat:a|b_anonymized.mkv"}},
		"no extension": {inputs: []string{"walk"}, want: []string{"walk_anonymized.mkv"}},
		"long": {
			inputs: []string{strings.Repeat("x", 251) + ".mkv"},
			want:   []string{strings.Repeat("x", 235) + "_anonymized.mkv"},
		},
		"long in UTF-8": {
			inputs: []string{strings.Repeat("ö", 125) + ".mkv"},
			want:   []string{strings.Repeat("ö", 117) + "_anonymized.mkv"},
		},
		"long, two": {
			inputs: []string{strings.Repeat("x", 251) + ".mkv", strings.Repeat("x", 250) + "y.mkv"},
			want: []string{
				strings.Repeat("x", 235) + "_anonymized-2.mkv", strings.Repeat("x", 235) + "_anonymized.mkv",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, name := range test.taken {
				write(t, filepath.Join(r.out, name), "somebody else's")
			}
			for _, name := range test.inputs {
				r.drop(name, name)
			}
			r.settle()
			var jobs []*Job
			for job := r.try(); job != nil; job = r.try() {
				jobs = append(jobs, job)
			}
			require.Len(t, jobs, len(test.inputs))
			for _, job := range jobs {
				r.complete(job)
			}
			want := slices.Sorted(slices.Values(slices.Concat(test.want, test.taken)))
			got := tree(t, r.out)
			slices.Sort(got)
			assert.Equal(t, want, got)
			for _, name := range test.taken {
				assert.Equal(t, "somebody else's", read(t, filepath.Join(r.out, name)))
			}
			r.crash()
			r.start()
			r.idle()
		})
	}
}

func TestOutputNameOutsideOutputDirectory(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.opts.OutputName = func(rel string) string { return "../" + rel }
	})
	path := r.drop("walk.mkv", "a")
	r.settle()
	assert.Nil(t, r.try())
	assert.Equal(t, "a", read(t, path))
}
