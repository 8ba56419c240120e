// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package console tests the console of the built program as people use it: in a real Chromium, with real footage. The
// browser tests are written in JavaScript, in the directory browser, and run by the Go tests.
package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// quick makes the receiver notice files sooner than by default.
const quick = `yaml:{receivers: {videoanonymizer: {watch: {poll_interval: 100ms, stable_for: 300ms}}}}`

// site is a directory in which a collector runs.
type site struct {
	*testing.T
	dir     string
	configs []string // override the default configuration
	log     string   // path of the collector's output

	collector      *collector.Collector
	address, token string // of the console, from the log; the address ends in a slash
}

func newSite(t *testing.T, configs ...string) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the built collector on real footage")
	}
	dir := t.TempDir()
	return &site{T: t, dir: dir, configs: append([]string{quick}, configs...), log: filepath.Join(dir, "collector.log")}
}

var consoleLine = regexp.MustCompile(`(http://[^\s"]+/)#token=([\w.-]+)`)

// start starts the collector, and reads the console's address and token from its log.
func (s *site) start() {
	s.Helper()
	s.launch()
	line := consoleLine.FindStringSubmatch(s.printed())
	require.NotNil(s, line, "the log tells the console's address:\n%s", s.printed())
	s.address, s.token = line[1], line[2]
}

// launch starts the collector.
func (s *site) launch() {
	s.Helper()
	output, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	require.NoError(s, err)
	s.Cleanup(func() { output.Close() })
	options, err := collector.Options{Dir: s.dir, Configs: slices.Clone(s.configs), Output: output}.OnFreePorts()
	require.NoError(s, err)
	s.collector, err = collector.Start(s.Context(), options)
	require.NoError(s, err, "%s", s.printed())
	s.Cleanup(func() {
		s.collector.Kill()
		if s.Failed() {
			s.Logf("the collector printed:\n%s", s.printed())
		}
	})
}

func (s *site) printed() string {
	content, err := os.ReadFile(s.log)
	require.NoError(s, err)
	return string(content)
}

// stop stops the collector as an operator does.
func (s *site) stop() {
	s.Helper()
	require.NoError(s, s.collector.Stop(time.Minute))
}

// path returns the path of a file in the site's directory.
func (s *site) path(name ...string) string { return filepath.Join(append([]string{s.dir}, name...)...) }

// clip returns the path of a clip of real people.
func (s *site) clip(name string) string {
	s.Helper()
	path, err := footage.Clip(name)
	require.NoError(s, err)
	return path
}

// drop copies a file into a watched folder. The file gets its name only once it is complete.
func (s *site) drop(source, folder, name string) {
	s.Helper()
	_, err := collector.Drop(source, s.path("videos", folder), name)
	require.NoError(s, err)
}

// ffmpeg makes a file in the site's directory, and returns its path.
func (s *site) ffmpeg(name string, args ...string) string {
	s.Helper()
	path := s.path(name)
	args = slices.Concat([]string{"-nostdin", "-loglevel", "error", "-y"}, args, []string{path})
	output, err := exec.CommandContext(s.Context(), "ffmpeg", args...).CombinedOutput()
	require.NoError(s, err, "ffmpeg %v: %s", args, output)
	return path
}

// request is a request to the console. Its body, if any, is JSON unless the header says otherwise.
type request struct {
	method, path, body string
	header             map[string]string
	host               string
}

// send sends a request without adding credentials.
func (s *site) send(r request) (status int, body []byte, header http.Header) {
	s.Helper()
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	sent, err := http.NewRequestWithContext(s.Context(), method, s.address+r.path, strings.NewReader(r.body))
	require.NoError(s, err)
	if r.body != "" {
		sent.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		sent.Header.Set(name, value)
	}
	if r.host != "" {
		sent.Host = r.host
	}
	response, err := http.DefaultClient.Do(sent)
	require.NoError(s, err)
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	require.NoError(s, err)
	return response.StatusCode, body, response.Header
}

// as adds a token to a request.
func (r request) as(token string) request {
	r.header = maps.Clone(r.header)
	if r.header == nil {
		r.header = map[string]string{}
	}
	r.header["Authorization"] = "Bearer " + token
	return r
}

// get returns something that must exist from the API.
func (s *site) get(path string) []byte {
	s.Helper()
	status, body, _ := s.send(request{path: "api/v1/" + path}.as(s.token))
	require.Equal(s, http.StatusOK, status, "GET %s: %s", path, body)
	return body
}

// post sends a request that must succeed to the API, and returns the answer.
func (s *site) post(path, body string) []byte {
	s.Helper()
	status, answer, _ := s.send(request{method: http.MethodPost, path: "api/v1/" + path, body: body}.as(s.token))
	require.Equal(s, http.StatusOK, status, "POST %s: %s", path, answer)
	return answer
}

// video has the fields of a video that the tests read.
type video struct {
	ID, Name, State string
	Frames          int
	Progress        float64
	Warnings        []string
	Failure         *struct{ Reason, Message, Advice string }
	Review          struct {
		Moments  int
		Seen     int `json:"moments_seen"`
		Watched  float64
		Decision *struct {
			Decision, By string
			Valid        bool
		}
	}
	Revisions []struct{ ID, Name, SHA256 string }
}

func (s *site) videos() []video {
	s.Helper()
	var list struct{ Videos []video }
	require.NoError(s, json.Unmarshal(s.get("videos"), &list))
	return list.Videos
}

func (s *site) video(name string) video {
	s.Helper()
	videos := s.videos()
	index := slices.IndexFunc(videos, func(v video) bool { return v.Name == name })
	require.GreaterOrEqual(s, index, 0, "%s is in the list", name)
	return videos[index]
}

// revision returns the path of a video's latest revision below api/v1/, with a slash at its end.
func (s *site) revision(name string) string {
	s.Helper()
	v := s.video(name)
	require.NotEmpty(s, v.Revisions, name)
	return fmt.Sprintf("videos/%s/revisions/%s/", v.ID, v.Revisions[len(v.Revisions)-1].ID)
}

// await waits until a video is in one of the states.
func (s *site) await(name string, states ...string) video {
	s.Helper()
	var v video
	s.eventually(name+" to be "+strings.Join(states, " or "), func() bool {
		for _, v = range s.videos() {
			if v.Name == name {
				require.True(s, v.State != "failed" || slices.Contains(states, "failed"), "%s failed: %+v", name, v.Failure)
				return slices.Contains(states, v.State)
			}
		}
		return false
	})
	return v
}

func (s *site) eventually(what string, done func() bool) {
	s.Helper()
	for deadline := time.Now().Add(10 * time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
		require.True(s, time.Now().Before(deadline), "waiting for %s", what)
	}
}

// browse runs a test file in the directory browser, with additional environment variables.
func (s *site) browse(file string, env ...string) {
	s.Helper()
	command := exec.CommandContext(s.Context(), "node", "--test", "--test-reporter=spec", filepath.Join("browser", file))
	command.Env = append(os.Environ(), append(env, "CONSOLE_ADDRESS="+s.address, "CONSOLE_TOKEN="+s.token)...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	s.Logf("%s", &output)
	if err != nil {
		s.Logf("the list was %.20000s", s.get("videos"))
	}
	require.NoError(s, err)
}

// install installs the npm packages of a directory in its node_modules, at the versions in the lock file.
func install(t *testing.T, dir string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "npm", "ci", "--silent", "--ignore-scripts", "--prefer-offline")
	command.Dir = dir
	output, err := command.CombinedOutput()
	require.NoError(t, err, "npm ci: %s", output)
}
