// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package debian installs the package in minimal Debian systems, as root: `make package-test`.
package debian

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	incoming   = home + "/videos/incoming"
	anonymized = home + "/videos/anonymized"
	config     = "/etc/otelcol-anonymizer/config.yaml"
)

// compatibility is a variable of the program that determines which releases can finish each other's videos.
const compatibility = "github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize." +
	"outputCompatibility"

// build builds a package of a version, with additional linker flags, and returns its path. With PACKAGE_TEST=again, it
// reuses the package of the last run.
func build(t *testing.T, version, flags string) string {
	t.Helper()
	folder := absolute(t, filepath.Join(cache, "packages", version))
	if os.Getenv("PACKAGE_TEST") != "again" {
		require.NoError(t, os.RemoveAll(folder))
		architecture := strings.TrimSpace(output(t, "dpkg", "--print-architecture"))
		command := exec.CommandContext(t.Context(), "build/package.sh", architecture, version, "deb")
		command.Dir = root
		command.Env = append(os.Environ(), "DIST="+folder, "MORE_LDFLAGS="+flags)
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	found, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// TestPackage installs, upgrades and removes packages of three versions on each supported Debian release. All packages
// are built here, on one of the releases.
func TestPackage(t *testing.T) {
	if os.Getenv("PACKAGE_TEST") == "" {
		t.Skip("make package-test runs it, as root")
	}
	first, second := build(t, "v1.0.0", ""), build(t, "v1.0.1", "")
	third := build(t, "v2.0.0", "-X "+compatibility+"=other")
	t.Run("lintian", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), "lintian", "--fail-on", "error", first).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	})
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := newSystem(t, suite)
			s.install(first)
			s.checkInstalled()
			s.checkVideo()
			s.checkUpgrade(second, "walk", "video resumes where an earlier attempt ended")
			s.checkUpgrade(third, "street", "the program, its models or its configuration changed: the video restarts")
			s.checkRemoval()
		})
	}
}

// checkInstalled: the user, the folders with their permissions, and everything that the configuration needs exist.
func (s *system) checkInstalled() {
	assert.Contains(s, s.run("root", "id", service), "("+service+")")
	assert.Equal(s, "2770 "+service, strings.TrimSpace(s.run("root", "stat", "--format", "%a %U", incoming)))
	assert.Contains(s, s.run("root", "otelcol-anonymizer", "--version"), "v1.0.0")
	assert.Contains(s, s.run("root", "anonymizerctl", "--version"), "v1.0.0")
	assert.Contains(s, s.run(service, "anonymizerctl", "doctor"), "everything is there")
	_, err := os.Lstat(s.path("/etc/systemd/system/multi-user.target.wants/otelcol-anonymizer.service"))
	assert.NoError(s, err, "it starts with the system")
}

// checkVideo: a video is anonymized, without a partial output or a changed source in its folder.
func (s *system) checkVideo() {
	c := s.start()
	s.drop("talk")
	s.await(anonymized + "/talk_anonymized.mp4.report.json")
	s.stop(c)
	s.checkOutput("talk")
}

// checkUpgrade upgrades in the middle of a video. The next start logs how it continues the video, and loses nothing.
func (s *system) checkUpgrade(deb, clip, says string) {
	changed := string(s.read(config)) + "# changed for " + clip + "\n"
	if !strings.Contains(changed, "segment_length") {
		changed = strings.Replace(changed, "output:\n", "output:\n      segment_length: 1s\n", 1)
	}
	require.Contains(s, changed, "segment_length: 1s")
	require.NoError(s, os.WriteFile(s.path(config), []byte(changed), 0o644))
	c := s.start()
	s.drop(clip)
	s.await(anonymized + "/.*checkpoint.json")
	s.stop(c)
	require.NoFileExists(s, s.path(anonymized+"/"+clip+"_anonymized.mp4"), "the video was done before the upgrade")
	s.install(deb)
	assert.Equal(s, changed, string(s.read(config)), "what the operator has changed stays")
	c = s.start()
	s.await(anonymized + "/" + clip + "_anonymized.mp4.report.json")
	assert.Contains(s, s.stop(c), says)
	s.checkOutput(clip)
}

// drop puts a clip into the watched folder.
func (s *system) drop(clip string) {
	footage := filepath.Join(root, "build/cache/footage")
	path := filepath.Join(footage, clip+".mp4")
	if clip == "street" { // content that differs from walk
		path = filepath.Join(s.TempDir(), "street.mp4")
		output(s.T, "ffmpeg", "-loglevel", "error", "-ss", "3", "-i", absolute(s.T, filepath.Join(footage, "walk.mp4")),
			"-c:v", "libx264", "-crf", "20", path)
	}
	s.copyIn(path, incoming+"/"+clip+".mp4", service+":")
}

// checkOutput: the output has every frame of the source, and differs from it only by masks, of which there are some.
func (s *system) checkOutput(clip string) {
	source, result := incoming+"/"+clip+".mp4", anonymized+"/"+clip+"_anonymized.mp4"
	s.run(service, "anonymizerctl", "compare", source, result)
	assert.Contains(s, string(s.read(result+".report.json")), `"ellipse"`)
	found, err := filepath.Glob(s.path(anonymized + "/" + clip + "*.mp4"))
	require.NoError(s, err)
	assert.Len(s, found, 1, "it was made once")
	left, err := filepath.Glob(s.path(anonymized + "/.*" + clip + "*"))
	require.NoError(s, err)
	assert.Empty(s, left)
}

// checkRemoval: removal leaves everything but the programs; purging leaves videos, outputs and what belongs to them.
func (s *system) checkRemoval() {
	videos, configured := s.files(home+"/videos"), s.read(config)
	require.Len(s, slicesOf(videos, ".mp4"), 6)
	s.apt("remove", service)
	require.NoFileExists(s, s.path("/usr/bin/otelcol-anonymizer"))
	require.NoDirExists(s, s.path("/usr/share/otelcol-anonymizer"))
	assert.Equal(s, configured, s.read(config))
	assert.Equal(s, videos, s.files(home+"/videos"))
	assert.DirExists(s, s.path(home+"/telemetry"))
	s.apt("purge", service)
	assert.NoDirExists(s, s.path(filepath.Dir(config)))
	assert.NoDirExists(s, s.path(home+"/telemetry"))
	assert.Equal(s, videos, s.files(home+"/videos"), "videos and outputs stay, with what belongs to them")
	_, err := os.Lstat(s.path("/etc/systemd/system/multi-user.target.wants/otelcol-anonymizer.service"))
	assert.ErrorIs(s, err, fs.ErrNotExist)
}

// files returns the digests of all files below a folder, by path.
func (s *system) files(folder string) map[string]string {
	digests := map[string]string{}
	require.NoError(s, filepath.WalkDir(s.path(folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		sum := sha256.Sum256(content)
		digests[path] = hex.EncodeToString(sum[:])
		return err
	}))
	return digests
}

func slicesOf(files map[string]string, suffix string) (paths []string) {
	for path := range files {
		if strings.HasSuffix(path, suffix) {
			paths = append(paths, path)
		}
	}
	return paths
}

func absolute(t *testing.T, path string) string {
	full, err := filepath.Abs(path)
	require.NoError(t, err)
	return full
}

// TestContainerSteps runs the steps of the Dockerfile's last stage in a minimal system, because there is no container
// engine, and then runs the image's command as its user.
func TestContainerSteps(t *testing.T) {
	if os.Getenv("PACKAGE_TEST") == "" {
		t.Skip("make package-test runs it, as root")
	}
	image := lastStage(t)
	s := newSystem(t, "bookworm")
	require.Len(t, image["COPY"], 1)
	copied := strings.Fields(image["COPY"][0])
	require.Equal(t, []string{"--from=build", "/package/*.deb", "/tmp/package.deb"}, copied)
	s.copyIn(build(t, "v1.0.0", ""), copied[2], "root")
	for _, step := range image["RUN"] {
		s.run("root", "sh", "-c", step)
	}
	require.Equal(t, []string{"10001"}, image["USER"])
	require.Equal(t, []string{"/data"}, image["WORKDIR"])
	assert.NoFileExists(t, s.path(copied[2]))
	s.run("root", "install", "-d", "-o", "10001", "/data/videos", "/data/videos/incoming")
	s.copyIn(filepath.Join(root, "build/cache/footage/talk.mp4"), "/data/videos/incoming/talk.mp4", "10001")

	var command, arguments []string
	require.NoError(t, json.Unmarshal([]byte(image["ENTRYPOINT"][0]), &command))
	require.NoError(t, json.Unmarshal([]byte(image["CMD"][0]), &arguments))
	c := s.inFolder(image["WORKDIR"][0], image["USER"][0], append(command, arguments...)...)
	s.startCommand(c)
	s.await("/data/videos/anonymized/talk_anonymized.mp4.report.json")
	log := s.stop(c)
	assert.Contains(t, log, "video finished")
	assert.NotContains(t, log, "\terror\t")
}

// lastStage returns the instructions of the last stage of the Dockerfile, by name.
func lastStage(t *testing.T) map[string][]string {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	stage := map[string][]string{}
	for _, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
		name, rest, _ := strings.Cut(line, " ")
		switch {
		case name == "FROM":
			stage = map[string][]string{}
		case name != "" && name != "#":
			stage[name] = append(stage[name], strings.TrimSpace(rest))
		}
	}
	return stage
}
