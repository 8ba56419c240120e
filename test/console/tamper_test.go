// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// testSwappedOutput: a swapped output is reported, cannot be approved, and voids an approval.
func (s *site) testSwappedOutput(t *testing.T) {
	s = s.with(t)
	s.awaitLook("steady.mp4")
	decision := s.revision("steady.mp4") + "decision"
	s.post(decision, `{"decision": "approved", "note": "swapped below"}`)
	require.Equal(t, "approved", s.video("steady.mp4").State)

	output := s.output(s.video("steady.mp4"))
	content, err := os.ReadFile(s.path("videos", "incoming", "steady.mp4")) // the faces, under the output's name
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(output, content, 0o600))
	s.eventually("the swapped output to show", func() bool {
		return slices.Contains(s.video("steady.mp4").Warnings, "output_changed")
	})
	v := s.video("steady.mp4")
	assert.NotEqual(t, "approved", v.State)
	status, _, _ := s.send(request{method: http.MethodPost, path: "api/v1/" + decision,
		body: `{"decision": "approved", "note": "x"}`}.as(s.token))
	assert.Equal(t, http.StatusConflict, status)
	for _, path := range []string{"media", "stills/0"} {
		status, _, _ := s.send(request{path: "api/v1/" + s.revision("steady.mp4") + path}.as(s.token))
		assert.Equal(t, http.StatusConflict, status, "%s of what is not the output", path)
	}
}

// awaitLook waits until the second look at an output is done, which approval requires.
func (s *site) awaitLook(name string) (moments []moment) {
	s.Helper()
	var list struct {
		Moments []moment
		Look    struct{ State string } `json:"second_look"`
	}
	s.eventually("the second look at "+name, func() bool {
		require.NoError(s, json.Unmarshal(s.get(s.revision(name)+"moments"), &list))
		require.NotEqual(s, "failed", list.Look.State)
		return list.Look.State == "done"
	})
	return list.Moments
}

// moment has the fields of a moment that the tests read.
type moment struct {
	Reason string
	Frame  int
	Box    []int
}

// verification is the result of the check of the audit log.
type verification struct {
	OK      bool
	Entries int
	Bad     int `json:"bad_entry"`
	Problem string
	Changed []string
}

// testAudit: the check names the entry in which a byte was flipped, in the page's API and on the command line.
func (s *site) testAudit(t *testing.T) {
	s = s.with(t)
	verify := func() (v verification) {
		require.NoError(t, json.Unmarshal(s.get("audit/verification"), &v))
		return v
	}
	good := verify()
	require.True(t, good.OK, "%+v", good)
	require.Greater(t, good.Entries, 3)

	files, err := filepath.Glob(s.path("videos", "anonymized", ".otelcol-anonymizer", "console", "audit*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	log, err := os.ReadFile(files[0])
	require.NoError(t, err)
	second := strings.Index(string(log), "\n") + 1
	actor := second + strings.Index(string(log[second:]), `"operator"`) + 1
	flipped := slices.Clone(log)
	flipped[actor] ^= 1
	require.NoError(t, os.WriteFile(files[0], flipped, 0o600))

	bad := verify()
	assert.False(t, bad.OK)
	assert.Equal(t, 2, bad.Bad, "%+v", bad)
	output, err := exec.CommandContext(t.Context(), filepath.Join(collector.Root(), "bin", "anonymizerctl"),
		"verify", s.path("videos", "anonymized")).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(output), "the first bad entry is 2:")

	require.NoError(t, os.WriteFile(files[0], log, 0o600))
	assert.True(t, verify().OK)
}
