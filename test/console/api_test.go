// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// with returns a copy of the site that reports failures to a subtest.
func (s *site) with(t *testing.T) *site {
	sub := *s
	sub.T = t
	return &sub
}

// tokenOf creates a token as an operator does while the console runs.
func (s *site) tokenOf(name, role string) string {
	s.Helper()
	command := exec.CommandContext(s.Context(), filepath.Join(collector.Root(), "bin", "anonymizerctl"),
		"token", "create", name, "--role", role)
	command.Dir = s.dir
	output, err := command.Output()
	require.NoError(s, err)
	token := strings.TrimSpace(string(output))
	s.eventually("the token of "+name+" to be valid", func() bool {
		status, _, _ := s.send(request{path: "api/v1/me"}.as(token))
		return status == http.StatusOK
	})
	return token
}

// refusal is a request that must be refused with one of the statuses.
type refusal struct {
	request
	status []int
}

// refusals returns requests that must be refused regardless of their sender, by name. The token is the operator's.
func (s *site) refusals(operator string) map[string]refusal {
	video, revision := "api/v1/videos/"+s.video("talk.mp4").ID, "api/v1/"+s.revision("talk.mp4")
	decision, uploads := revision+"decision", "api/v1/uploads?name="
	const (
		reject = `{"decision": "rejected", "note": "no"}`
		other  = `{"decision": "approved", "note": "x", "sha256": "00"}`
	)
	get := func(path string) request { return request{path: path}.as(operator) }
	post := func(path, body string, header map[string]string) request {
		return request{method: http.MethodPost, path: path, body: body, header: header}.as(operator)
	}
	form := "application/x-www-form-urlencoded"
	of := func(mediaType string) map[string]string { return map[string]string{"Content-Type": mediaType} }
	from := map[string]string{"Origin": "http://evil.example"}
	embedded := map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
	foreign := get("api/v1/videos")
	foreign.host = "evil.example"
	viewer := s.tokenOf("viewer", "view")
	return map[string]refusal{
		"foreign host":           {foreign, []int{403, 421}},
		"page for foreign host":  {request{host: "evil.example:8090"}, []int{403, 421}},
		"no token":               {request{path: "api/v1/videos"}, []int{401}},
		"wrong token":            {request{path: "api/v1/videos"}.as("x" + operator[1:]), []int{401}},
		"cross site":             {post(decision, reject, embedded), []int{403}},
		"another origin":         {post(decision, reject, from), []int{403}},
		"form":                   {post(decision, "decision=rejected", of(form)), []int{400, 415}},
		"text":                   {post(decision, reject, of("text/plain")), []int{400, 415}},
		"unknown field":          {post(decision, `{"decision": "rejected", "by": "me"}`, nil), []int{400, 422}},
		"oversized body":         {post(decision, `{"note": "`+strings.Repeat("x", 4<<20)+`"}`, nil), []int{413}},
		"decision of a viewer":   {post(decision, reject, nil).as(viewer), []int{403}},
		"pause of a viewer":      {post(video+"/pause", "{}", nil).as(viewer), []int{403}},
		"dots in an ID":          {get("api/v1/videos/..%2f..%2fetc/revisions/r1/media"), []int{400, 404}},
		"dots in a path":         {get(video + "/revisions/..%2f..%2fpasswd/media"), []int{400, 404}},
		"dots for the page":      {get("..%2f..%2fetc/passwd"), []int{400, 404}},
		"dots in an upload":      {post(uploads+"..%2fx.mp4", "x", of("application/octet-stream")), []int{400, 422}},
		"frame beyond the end":   {get(revision + "stills/100000"), []int{404}},
		"another hash":           {post(decision, other, nil), []int{409, 412}},
		"rejection without note": {post(decision, `{"decision": "rejected"}`, nil), []int{422}},
		"change by GET":          {get(video + "/pause"), []int{404, 405}},
	}
}

func (s *site) testRefusals(t *testing.T) {
	s = s.with(t)
	before := s.video("talk.mp4")
	for name, refusal := range s.refusals(s.token) {
		t.Run(name, func(t *testing.T) {
			status, body, header := s.with(t).send(refusal.request)
			assert.Contains(t, refusal.status, status, "%s", body)
			assert.Empty(t, header.Get("Access-Control-Allow-Origin"))
			assert.NotContains(t, string(body), s.dir, "an answer names no path")
		})
	}
	assert.Equal(t, before, s.video("talk.mp4"))
	assert.Equal(t, 1, strings.Count(s.printed(), s.token), "the log has the token in the start line alone")
}

// testLinks replaces an output with a link to an outside file, which must not be followed.
func (s *site) testLinks(t *testing.T) {
	s = s.with(t)
	output := s.path("videos", "anonymized", "steady_anonymized.mp4")
	secret := s.path("secret")
	require.NoError(t, os.WriteFile(secret, []byte("nobody may read this"), 0o600))
	require.NoError(t, os.Rename(output, output+".kept"))
	require.NoError(t, os.Symlink(secret, output))
	defer func() {
		require.NoError(t, os.Remove(output))
		require.NoError(t, os.Rename(output+".kept", output))
	}()
	for _, path := range []string{"media", "media?download=true", "stills/0"} {
		status, body, _ := s.send(request{path: "api/v1/" + s.revision("steady.mp4") + path}.as(s.token))
		assert.GreaterOrEqual(t, status, 400, path)
		assert.NotContains(t, string(body), "nobody may read this")
	}
}

// testHeaders: the page allows only content from its own origin.
func (s *site) testHeaders(t *testing.T) {
	s = s.with(t)
	_, page, header := s.send(request{})
	policy := header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		assert.Contains(t, policy, part)
	}
	assert.NotContains(t, policy, "unsafe")
	assert.NotContains(t, string(page), "http", "the page names no other address")
	assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	assert.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
	_, _, header = s.send(request{path: "api/v1/" + s.revision("talk.mp4") + "stills/0"}.as(s.token))
	assert.Contains(t, header.Get("Cache-Control"), "no-store")
}

// testCrawl sends every GET request of the API for each video: the responses match their descriptions, and their
// pictures match the output.
func (s *site) testCrawl(t *testing.T) {
	s = s.with(t)
	document, err := openapi3.NewLoader().LoadFromFile(
		filepath.Join(collector.Root(), "extension", "anonymizerconsole", "openapi.yaml"))
	require.NoError(t, err)
	var traces struct{ Frames []struct{ Trace string } }
	require.NoError(t, json.Unmarshal(s.get("traces/frames"), &traces))
	require.NotEmpty(t, traces.Frames)
	for _, v := range s.videos() {
		if len(v.Revisions) > 0 {
			s.awaitPlayable(v.Name)
		}
	}
	asked := 0
	for path, item := range document.Paths.Map() {
		if item.Get == nil || path == "/events" { // testEvents reads it
			continue
		}
		for _, v := range s.videos() {
			if len(v.Revisions) == 0 && strings.Contains(path, "{revision}") {
				continue
			}
			revision := ""
			if len(v.Revisions) > 0 {
				revision = v.Revisions[0].ID
			}
			address := strings.NewReplacer("{video}", v.ID, "{revision}", revision, "{frame}", "8",
				"{trace}", traces.Frames[0].Trace).Replace(path)
			asked++
			s.check(item.Get, address, v)
			if !strings.Contains(path, "{video}") {
				break
			}
		}
	}
	assert.Greater(t, asked, 50)
}

// awaitPlayable requests a copy that browsers can play, if the video needs one, and waits for it.
func (s *site) awaitPlayable(name string) {
	s.Helper()
	status, body, _ := s.send(request{method: http.MethodPost, path: "api/v1/" + s.revision(name) + "proxy", body: "{}"}.
		as(s.token))
	require.Equal(s, http.StatusAccepted, status, "%s", body)
	s.eventually(name+" to be playable", func() bool {
		var details struct {
			Playback struct{ State, Message string }
		}
		require.NoError(s, json.Unmarshal(s.get(strings.TrimSuffix(s.revision(name), "/")), &details))
		require.NotEqual(s, "unavailable", details.Playback.State, details.Playback.Message)
		return details.Playback.State == "direct" || details.Playback.State == "ready"
	})
}

// check compares a response with its description, and a picture with the output.
func (s *site) check(operation *openapi3.Operation, address string, v video) {
	s.Helper()
	status, body, header := s.send(request{path: "api/v1" + address}.as(s.token))
	want := http.StatusOK
	if len(v.Revisions) == 0 && strings.Contains(address, "/edits") {
		want = http.StatusConflict // there is no output to correct
	}
	if !assert.Equal(s, want, status, "%s: %s", address, body) {
		return
	}
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	content := operation.Responses.Status(status).Value.Content.Get(mediaType)
	require.NotNil(s, content, "%s has the type %s, which is not described", address, mediaType)
	switch {
	case mediaType == "application/json":
		var value any
		require.NoError(s, json.Unmarshal(body, &value))
		assert.NoError(s, content.Schema.Value.VisitJSON(value, openapi3.MultiErrors()), address)
		assert.NotContains(s, string(body), s.dir, "%s names a path", address)
	case strings.HasPrefix(mediaType, "video/"):
		s.sameFrame(v, body, false)
	case strings.Contains(address, "/stills/"):
		s.sameFrame(v, body, true)
	case strings.HasSuffix(address, "/sheet"):
		sheet, err := os.ReadFile(s.output(v) + ".review.jpg")
		require.NoError(s, err)
		assert.Equal(s, sheet, body, "the sheet of %s", v.Name)
	}
}

func (s *site) output(v video) string { return s.path("videos", "anonymized", v.Revisions[0].Name) }

// sameFrame compares a picture of frame 8, or frame 8 of a video, with frame 8 of the output.
func (s *site) sameFrame(v video, content []byte, picture bool) {
	s.Helper()
	given := s.path("given")
	require.NoError(s, os.WriteFile(given, content, 0o600))
	frame := 8
	if picture {
		frame = 0
	}
	got, want := s.decode(given, frame), s.decode(s.output(v), 8)
	source := s.decode(s.path("videos", "incoming", v.Name), 8)
	require.Equal(s, len(want), len(got), "the size of %s", v.Name)
	assert.Less(s, difference(want, got), 3.0, "the picture of %s is the output's", v.Name)
	// Where the output differs from the source, that is, under the masks, the picture must differ, too.
	var wantMasked, gotMasked, sourceMasked []byte
	for i := range want {
		if distance(want[i], source[i]) > 60 {
			wantMasked, gotMasked = append(wantMasked, want[i]), append(gotMasked, got[i])
			sourceMasked = append(sourceMasked, source[i])
		}
	}
	require.Greater(s, len(wantMasked), 50, "%s has masks in frame 8", v.Name)
	assert.Less(s, difference(wantMasked, gotMasked), difference(sourceMasked, gotMasked)/4,
		"%s: the source shows", v.Name)
}

// decode returns the luma of a frame.
func (s *site) decode(path string, frame int) []byte {
	s.Helper()
	frames, err := footage.Decode(path)
	require.NoError(s, err)
	require.Greater(s, len(frames), frame, path)
	return frames[frame].Pixels
}

// difference returns the mean absolute difference of pixels, 0 to 255.
func difference(a, b []byte) float64 {
	sum := 0
	for i := range a {
		sum += distance(a[i], b[i])
	}
	return float64(sum) / float64(max(1, len(a)))
}

func distance(a, b byte) int { return max(int(a), int(b)) - min(int(a), int(b)) }
