// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
)

// requireConfined skips a test if this system cannot confine programs.
func requireConfined(t *testing.T) Tools {
	t.Helper()
	if err := confine.Find().Missing(); err != nil {
		t.Skip(err)
	}
	tools, err := testTools(t).Confine(t.Context(), confine.Require, nil)
	require.NoError(t, err)
	return tools
}

// TestConfinedTools makes ffmpeg read and write files that it was not given, and connect to a server.
func TestConfinedTools(t *testing.T) {
	other := clip(t, "other.mp4", testVideo("64x48", "5")+quick)
	given := clip(t, "given.mp4", testVideo("64x48", "5")+quick)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	new := filepath.Join(t.TempDir(), "new.mp4")
	for name, tc := range map[string]struct {
		args []string
		says string // error when confined; otherwise it works, or nothing answers
	}{
		"read the source":   {[]string{"-i", inputURL, "-f", "null", "-"}, ""},
		"write the output":  {[]string{"-i", inputURL, "-f", "mp4", "-y", outputURL}, ""},
		"read another file": {[]string{"-i", "file:" + other, "-f", "null", "-"}, "Permission denied"},
		"create a file":     {[]string{"-i", inputURL, "-f", "mp4", "file:" + new}, "Permission denied"},
		"replace a file":    {[]string{"-i", inputURL, "-f", "mp4", "-y", "file:" + other}, "Permission denied"},
		"connect": {[]string{"-rw_timeout", "100000", "-i", "tcp://" + listener.Addr().String()},
			"Operation not permitted"},
	} {
		run := func(t *testing.T, tools Tools) error {
			source, err := os.Open(given)
			require.NoError(t, err)
			output, err := os.Create(filepath.Join(t.TempDir(), "output.mp4"))
			require.NoError(t, err)
			args := append([]string{"-nostdin", "-loglevel", "repeat+level+error"}, tc.args...)
			_, err = tools.output(t.Context(), tools.FFmpeg, args, streams{source: source, output: output},
				DefaultLimits().writing(), nil)
			return err
		}
		t.Run(name, func(t *testing.T) {
			err := run(t, requireConfined(t))
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.says)
			if err := run(t, freeTools(t)); err != nil {
				assert.NotContains(t, err.Error(), tc.says)
			}
		})
	}
}

// TestConfineModes checks each mode with programs that do not run confined, such as one whose libraries are elsewhere.
func TestConfineModes(t *testing.T) {
	requireConfined(t)
	free := freeTools(t)
	library := filepath.Join(t.TempDir(), "library")
	require.NoError(t, os.WriteFile(library, []byte("exec "+free.FFprobe+` "$@"`), 0o600))
	tools := free
	tools.FFprobe = filepath.Join(t.TempDir(), "ffprobe")
	require.NoError(t, os.WriteFile(tools.FFprobe, []byte("#!/bin/sh\n. "+library+"\n"), 0o700))

	_, err := tools.Confine(t.Context(), confine.Require, nil)
	require.ErrorIs(t, err, ErrTool)
	assert.ErrorContains(t, err, "write auto to do without")
	for _, mode := range []string{confine.Auto, confine.Off} {
		got, err := tools.Confine(t.Context(), mode, nil)
		require.NoError(t, err)
		holds, missing := got.Confined()
		assert.Empty(t, holds)
		assert.Error(t, missing)
		_, err = got.Probe(t.Context(), clip(t, "a.mp4", testVideo("64x48", "5")+quick), Limits{})
		assert.NoError(t, err, "it does run")
	}
}

// TestConfineChecks checks that Confine falls back to all rights for a device that needs them, but not for one that
// never works.
func TestConfineChecks(t *testing.T) {
	tools := requireConfined(t)
	broken := errors.New("no device")
	needsAll := func(t Tools) error {
		if holds, _ := t.Confined(); holds != "" {
			return broken
		}
		return nil
	}
	got, err := tools.Confine(t.Context(), confine.Auto, needsAll)
	require.NoError(t, err)
	holds, missing := got.Confined()
	assert.Empty(t, holds)
	require.ErrorIs(t, missing, broken)
	_, err = tools.Confine(t.Context(), confine.Require, needsAll)
	require.ErrorContains(t, err, "tools::confine is require")
	for _, mode := range confine.Modes() {
		_, err = tools.Confine(t.Context(), mode, func(Tools) error { return broken })
		require.ErrorIs(t, err, broken)
		assert.NotContains(t, err.Error(), "tools::confine", "that is not why")
	}
}
