// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScan(t *testing.T) {
	files := []string{
		"in/a.mkv", "in/b.mp4", "in/notes.txt", "in/x/c.mkv", "in/x/y/d.mkv", "in/z/e.mkv", "in/[odd]/f.mkv",
		"other/g.mkv",
	}
	tests := map[string]struct {
		include, exclude []string
		recursive        bool
		want             []string // rel of each
	}{
		"files": {include: []string{"in/*"}, want: []string{"a.mkv", "b.mp4", "notes.txt"}},
		"recursive": {
			include: []string{"in/*.mkv"}, recursive: true,
			want: []string{"[odd]/f.mkv", "a.mkv", "x/c.mkv", "x/y/d.mkv", "z/e.mkv"},
		},
		"double star": {
			include: []string{"in/**/*.mkv"}, want: []string{"[odd]/f.mkv", "a.mkv", "x/c.mkv", "x/y/d.mkv", "z/e.mkv"},
		},
		"double star alone":   {include: []string{"in/x/**"}, want: []string{"c.mkv", "y/d.mkv"}},
		"double star between": {include: []string{"in/**/y/*"}, want: []string{"x/y/d.mkv"}},
		"star of folders":     {include: []string{"in/*/*.mkv"}, want: []string{"[odd]/f.mkv", "x/c.mkv", "z/e.mkv"}},
		"one folder":          {include: []string{"in/x"}, want: []string{"x/c.mkv"}},
		"one folder, slash":   {include: []string{"in/x/"}, want: []string{"c.mkv"}},
		"one folder, all of":  {include: []string{"in/x"}, recursive: true, want: []string{"x/c.mkv", "x/y/d.mkv"}},
		"one file":            {include: []string{"in/a.mkv"}, want: []string{"a.mkv"}},
		"alternatives":        {include: []string{"in/*.{mkv,mp4}"}, want: []string{"a.mkv", "b.mp4"}},
		"escaped":             {include: []string{`in/\[odd\]/*`}, want: []string{"f.mkv"}},
		"dots":                {include: []string{"./other/../in/*.mkv"}, want: []string{"a.mkv"}},
		"two": {
			include: []string{"in/*.mkv", "other/*", "in/*.mp4"}, want: []string{"a.mkv", "b.mp4", "g.mkv"},
		},
		"overlapping": {include: []string{"in/*.mkv", "in/a*"}, want: []string{"a.mkv"}},
		"exclude by name": {
			include: []string{"in/**"}, exclude: []string{"*.txt", "[cde].mkv"},
			want: []string{"[odd]/f.mkv", "a.mkv", "b.mp4"},
		},
		"exclude by folder": {
			include: []string{"in/**/*.mkv"}, exclude: []string{"in/x/**", "in/z/*"},
			want: []string{"[odd]/f.mkv", "a.mkv"},
		},
		"nothing":   {include: []string{"in/*.avi"}},
		"no folder": {include: []string{"missing/*"}},
	}
	for _, absolute := range []bool{false, true} {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				root, err := filepath.EvalSymlinks(t.TempDir())
				require.NoError(t, err)
				t.Chdir(root)
				for _, name := range files {
					write(t, name, "a")
				}
				if absolute {
					test.include, test.exclude = slices.Clone(test.include), slices.Clone(test.exclude)
					for i := range test.include {
						test.include[i] = root + "/" + test.include[i]
					}
				}
				config := Config{
					Include: test.include, Exclude: test.exclude, Recursive: test.recursive, PollInterval: time.Second,
				}
				for _, pattern := range config.Include {
					require.NoError(t, ValidatePattern(pattern))
				}
				s, err := newScanner(config)
				require.NoError(t, err)
				s.entered, s.unreadable = func(string) {}, func(string, error) {}
				var got []string
				for _, f := range s.scan(nil) {
					assert.True(t, filepath.IsAbs(f.path))
					got = append(got, f.rel)
				}
				slices.Sort(got)
				assert.Equal(t, test.want, got)
			})
		}
	}
}

func TestValidatePattern(t *testing.T) {
	tests := map[string]struct{ pattern, want string }{
		"default":      {pattern: "videos/incoming/*"},
		"empty":        {pattern: "", want: "a pattern is empty"},
		"open bracket": {pattern: "in/[a", want: `"in/[a" is not a valid pattern`},
		"braces":       {pattern: "in/{a/b,c}/*", want: "slash within braces"},
		"dots":         {pattern: "in/*/../x", want: "has .. at its end or after a wildcard"},
		"dots first":   {pattern: "../in/*"},
		"NUL":          {pattern: "in/\x00", want: "NUL byte"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := ValidatePattern(test.pattern)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// FuzzGlobs matches arbitrary names with arbitrary patterns, and checks that whatever a pattern includes is below
// folders that are searched for it.
func FuzzGlobs(f *testing.F) {
	for _, seed := range [][2]string{{"/in/**/*.mp4", "a/b/c.mp4"}, {"/in/*/{x,y}[a-z]?.mkv", "d/xb1.mkv"}, {"/in", "a"},
		{"/in/**", "a/b"}, {"/in/a**/b", "ab/b"}, {"/in/\\*/[^a]", "*/b"}, {"/in/{a,{b,c}}/**/d/", "c/e/d/x"}} {
		f.Add(seed[0], seed[1], true)
		f.Add(seed[0], seed[1], false)
	}
	f.Fuzz(func(t *testing.T, glob, rel string, recursive bool) {
		if ValidatePattern(glob) != nil || !fs.ValidPath(rel) || rel == "." {
			return
		}
		s, err := newScanner(Config{Include: []string{glob}, Exclude: []string{glob}, Recursive: recursive})
		require.NoError(t, err)
		r := &s.roots[0]
		_ = s.excluded(r, rel)
		_ = r.held(rel, "")
		if !r.matches(rel) {
			return
		}
		for folder := path.Dir(rel); folder != "."; folder = path.Dir(folder) {
			require.True(t, r.mayMatchBelow(folder), "%q includes %q, but does not search %q", glob, rel, folder)
		}
	})
}
