// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package pseudonym

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const folder = "/videos/incoming"

func opened(t *testing.T) *Names {
	t.Helper()
	n, err := Open(t.TempDir(), folder, "/videos/anonymized")
	require.NoError(t, err)
	return n
}

func TestKey(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "state")
	n, err := Open(directory)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(directory, keyName))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	again, err := Open(directory)
	require.NoError(t, err)
	assert.Equal(t, n.Of("a.mp4"), again.Of("a.mp4"), "the same after a restart")
	assert.Len(t, n.Of("a.mp4"), digits)
	other, err := Open(t.TempDir())
	require.NoError(t, err)
	assert.NotEqual(t, n.Of("a.mp4"), other.Of("a.mp4"), "without the key nobody can tell")
	assert.NotEqual(t, n.Of("a.mp4"), n.Of("b.mp4"))

	require.NoError(t, os.WriteFile(filepath.Join(directory, keyName), []byte("short"), 0o600))
	_, err = Open(directory)
	assert.ErrorContains(t, err, "remove it")
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no leftovers")
}

func TestNamesInText(t *testing.T) {
	n := opened(t)
	path := folder + "/ward/Jane Doe.mp4"
	for name, text := range map[string]string{
		"path":                 `open ` + path + `: permission denied`,
		"quoted":               fmt.Sprintf("%q: damaged: moov atom not found", path),
		"name":                 "Jane Doe.mp4 is no video",
		"without extension":    "make Jane Doe_anonymized.mp4",
		"of the output":        "/videos/anonymized/ward/Jane Doe_anonymized.mp4 is taken",
		"temporary":            `"/videos/anonymized/Jane/.anonymizing-1234.mp4": no space`,
		"not known":            "rename " + folder + "/Jane/x.mp4 /tmp/x: no such file",
		"twice, at the end":    "Jane Doe, Jane Doe",
		"after a word":         "xJane Doe.mp4 Jane Doe.mp4",
		"with colons and more": (&fs.PathError{Op: "open", Path: path, Err: errors.New("Jane Doe: x")}).Error(),
	} {
		t.Run(name, func(t *testing.T) {
			got := n.In(text, path)
			assert.NotContains(t, strings.ReplaceAll(got, "xJane Doe.mp4", ""), "Jane", got)
		})
	}
	assert.Equal(t, n.Of(path)+": damaged", n.In(path+": damaged", path))
	assert.Equal(t, n.Of("Jane Doe.mp4")+" ended", n.In("Jane Doe.mp4 ended", path))
	assert.Equal(t, folder, n.In(folder, folder), "the configuration's")
	assert.Equal(t, "the frame of aa", n.In("the frame of aa", folder+"/a.mp4"), "not within words")

	odd := folder + "/Jäne\n\"Doe\"\xff.mp4"
	for _, text := range []string{odd, fmt.Sprintf("%q", odd), strings.ToValidUTF8(odd, "\uFFFD")} {
		assert.NotContains(t, n.In(text+" failed", odd), "Doe")
	}
	var none *Names
	assert.Equal(t, path, none.In(path, path))
	assert.Equal(t, path, none.Of(path))
}

func TestNamesInLog(t *testing.T) {
	n := opened(t)
	path := folder + "/Jane Doe.mp4"
	inner, lines := observer.New(zapcore.DebugLevel)
	logger := n.Logger(zap.New(inner)).With(zap.String("video", path))
	logger.Info("Jane Doe.mp4 started", zap.Int("frames", 3))
	logger.Warn("failed", zap.Error(fmt.Errorf("%q: Jane Doe is no video", path)), zap.Strings("like", []string{path}),
		zap.String("output", "/videos/anonymized/Jane Doe_anonymized.mp4"), zap.Any("any", path),
		zap.Stringer("said", said(path)), zap.String("folder", folder))
	n.Logger(zap.New(inner)).Error("a file", zap.String("file", path))
	require.Len(t, lines.All(), 3)
	for _, line := range lines.All() {
		text := fmt.Sprint(line.Message, line.ContextMap())
		assert.NotContains(t, text, "Jane")
		assert.Contains(t, text, n.Of(path))
	}
	assert.Equal(t, folder, lines.All()[1].ContextMap()["folder"])
	assert.Equal(t, int64(3), lines.All()[0].ContextMap()["frames"])
}

type said string

func (s said) String() string { return string(s) }

func FuzzIn(f *testing.F) {
	f.Add("open /videos/incoming/Jane Doe.mp4: no", "Jane Doe.mp4")
	f.Add("\xff\xfe", "\xff")
	f.Add("a a aa", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		n := &Names{key: make([]byte, keyLength), folders: []string{folder}}
		path := filepath.Join(folder, name)
		got := n.In(text+" "+path+" "+text, path)
		if path != folder && strings.HasPrefix(path, folder+"/") {
			assert.NotContains(t, got, path)
		}
	})
}
