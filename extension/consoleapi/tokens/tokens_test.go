// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package tokens

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
)

func TestCreateAndRevoke(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "console")
	token, err := Create(directory, "Ann", consoleapi.RoleReview, time.Hour)
	require.NoError(t, err)
	assert.Len(t, token, 26)
	info, err := os.Stat(filepath.Join(directory, FileName))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(filepath.Join(directory, FileName))
	require.NoError(t, err)
	assert.NotContains(t, string(text), token)
	all, err := Read(directory)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, "Ann", all[0].Name)
	assert.Equal(t, consoleapi.RoleReview, all[0].Role)
	assert.Equal(t, Digest(token), all[0].SHA256)
	assert.Equal(t, all[0].Created.Add(time.Hour), all[0].Expires)

	_, err = Create(directory, "Ann", consoleapi.RoleView, 0)
	require.ErrorContains(t, err, "already")
	require.NoError(t, Revoke(directory, "Ann"))
	require.ErrorContains(t, Revoke(directory, "Ann"), "no token")
}

func TestCreateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		name string
		role consoleapi.Role
		want string
	}{
		"empty name":     {"", consoleapi.RoleView, "write 1 to 64"},
		"line break":     {"a\nb", consoleapi.RoleView, "write 1 to 64"},
		"too long":       {string(make([]byte, 65)), consoleapi.RoleView, "write 1 to 64"},
		"the first one":  {"operator", consoleapi.RoleView, "already"},
		"unknown role":   {"a", "admin", "view, edit, review, operator"},
		"formula in csv": {"=1+1", consoleapi.RoleView, "write 1 to 64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Create(t.TempDir(), test.name, test.role, 0)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestCreateConcurrently(t *testing.T) {
	directory := t.TempDir()
	var wait sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		wait.Go(func() {
			_, err := Create(directory, name, consoleapi.RoleView, 0)
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	all, err := Read(directory)
	require.NoError(t, err)
	assert.Len(t, all, 6)
}
