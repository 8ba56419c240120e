// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

// clone is a copy of the committed repository that a test may change.
type clone struct {
	*testing.T
	dir string
}

func (c clone) run(name string, args ...string) string {
	c.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	require.NoError(c, err, "%s %s: %s", name, args, out)
	return string(out)
}

func (c clone) command(name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(c.Context(), name, args...)
	command.Dir = c.dir
	command.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann",
		"GIT_COMMITTER_EMAIL=ann@example.com", "GIT_CONFIG_GLOBAL=/dev/null", "OUTPUT_UNCHANGED=")
	return command
}

func (c clone) write(name, text string) {
	c.Helper()
	require.NoError(c, os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o755))
}

func (c clone) read(name string) string {
	c.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	require.NoError(c, err)
	return string(text)
}

func (c clone) commit() {
	c.Helper()
	c.run("git", "add", "--all")
	c.run("git", "commit", "--quiet", "--message", "Change something")
}

// TestRelease prepares a release step by step: the error names the next step that is missing, and nothing is tagged.
// The packages themselves are not built.
func TestRelease(t *testing.T) {
	c := clone{t, filepath.Join(t.TempDir(), "clone")}
	require.NoError(t, exec.CommandContext(t.Context(), "git", "clone", "--quiet", root, c.dir).Run())
	for _, name := range []string{"build/release.sh", "Makefile"} { // as they are now, committed or not
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		c.write(name, string(text))
	}
	c.write("build/reproducible.sh", "#!/bin/sh\necho the packages would be built now >&2\nexit 7\n")
	c.run("git", "add", "--all")
	c.run("git", "commit", "--quiet", "--allow-empty", "--message", "Prepare the test")
	c.run("git", "tag", "v0.8.0")
	refuses := func(version, why string) {
		t.Helper()
		out, err := c.command("build/release.sh", version).CombinedOutput()
		require.Error(t, err, "%s", out)
		assert.Contains(t, string(out), why)
	}

	refuses("1.0", "1.0 is not a version")
	c.write("new", "")
	refuses("v0.9.0", "the working tree has changes")
	require.NoError(t, os.Remove(filepath.Join(c.dir, "new")))
	refuses("v0.8.0", "the tag v0.8.0 exists")
	refuses("v0.9.0", "CHANGELOG.md has no section v0.9.0")

	c.write("CHANGELOG.md", c.read("CHANGELOG.md")+"\n## v0.9.0\n")
	c.write(".chloggen/left.yaml", "change_type: bug_fix\n")
	c.commit()
	refuses("v0.9.0", "there are changelog entries left")

	c.run("find", ".chloggen", "-name", "*.yaml", "!", "-name", "TEMPLATE.yaml", "!", "-name", "config.yaml", "-delete")
	c.commit()
	refuses("v0.9.0", "modules require each other at v0.0.0")

	c.run("sh", "-c", `git ls-files '*go.mod' | xargs sed -i -E `+
		`'s#(otelcol-anonymizer/otelcol-anonymizer/\S+) v0\.0\.0\S*#\1 v0.9.0#'`)
	const mask = "receiver/videoanonymizer/internal/mask/doc.go"
	c.write(mask, "// Package mask has changed.\npackage mask\n")
	c.commit()
	refuses("v0.9.0", mask)

	const checkpoint = "receiver/videoanonymizer/internal/anonymize/checkpoint.go"
	before := c.read(checkpoint)
	after := strings.Replace(before, `var outputCompatibility = "`, `var outputCompatibility = "9`, 1)
	require.NotEqual(t, before, after)
	c.write(checkpoint, after)
	c.commit()
	refuses("v0.9.0", "the packages would be built now")
	assert.Equal(t, "v0.8.0", strings.TrimSpace(c.run("git", "tag")), "nothing is tagged before the packages are there")

	c.run("make", "--silent", "tags", "VERSION=v0.9.0")
	tags := strings.Fields(c.run("git", "tag", "--points-at", "HEAD"))
	assert.Contains(t, tags, "v0.9.0")
	assert.Contains(t, tags, "receiver/videoanonymizer/v0.9.0")
}

// TestListOfParts completes a list of Go modules with everything else that a package contains or needs.
func TestListOfParts(t *testing.T) {
	modules := filepath.Join(t.TempDir(), "modules.json")
	require.NoError(t, os.WriteFile(modules, []byte(`{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"components": [{"type": "library", "name": "example.com/m", "version": "v1.0.0"},
			{"type": "library", "name": "../../models"}]}`), 0o644))
	full, err := filepath.Abs(root)
	require.NoError(t, err)
	run := func(args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), "go", append([]string{"-C", full + "/internal/tools/release", "run",
			"./sbom", "-root", full, "-version", "v1.2.3", "-opencv", "4.6", "-depends", "libc6 (>= 2.34), a | b"}, args...)...)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	out, err := run(modules, modules)
	require.NoError(t, err, out)
	var list struct {
		Components []struct {
			Name, Version, Type string
			Hashes              []struct{ Content string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	catalog, err := models.Load()
	require.NoError(t, err)
	hashes, names := map[string]string{}, []string{}
	for _, c := range list.Components {
		names = append(names, c.Name)
		if c.Type == "machine-learning-model" {
			hashes[c.Name] = c.Hashes[0].Content
		}
	}
	for _, m := range catalog.Models {
		if m.Default {
			assert.Equal(t, m.SHA256, hashes[m.Name], m.Name)
		} else {
			assert.NotContains(t, hashes, m.Name)
		}
	}
	for _, name := range []string{"example.com/m", "preact", "uplot", "onnxruntime", "opencv", "libc6", "a"} {
		assert.Contains(t, names, name)
	}
	for _, name := range []string{"../../models", "b", "esbuild", "typescript"} {
		assert.NotContains(t, names, name)
	}

	_, err = run("/no/list")
	assert.Error(t, err)
	_, err = run()
	assert.Error(t, err)
}

// TestOpenCVWithoutImageFormats: packages have OpenCV linked in, but not the libraries of its image formats, which are
// left out only as long as nothing calls them (build/env.sh).
func TestOpenCVWithoutImageFormats(t *testing.T) {
	calls := regexp.MustCompile(`gocv\.(IM|Image)(Encode|Decode|Read|Write)\w*\(`)
	for _, file := range files(t, "receiver/videoanonymizer/*.go") {
		if !strings.HasSuffix(file, "_test.go") {
			assert.NotRegexp(t, calls, read(t, file), file)
		}
	}
}

// TestPackageVersions: apt considers a later package newer, even if no tag gives it a number.
func TestPackageVersions(t *testing.T) {
	function := regexp.MustCompile(`(?ms)^debian_version\(\) \{.*?^\}`).FindString(read(t, "build/package.sh"))
	require.NotEmpty(t, function)
	before := ""
	for _, v := range []struct{ version, made, want string }{
		{"ffe5d69", "1764403260", "0~202511290801.ffe5d69"},
		{"0c21a2b-dirty", "1764489660", "0~202511300801.0c21a2b.dirty"},
		{"v1.0.0-rc.1", "1764489660", "1.0.0~rc.1"},
		{"v1.0.0", "1764489660", "1.0.0"},
		{"v1.0.0-3-gabc1234", "1764489660", "1.0.0+3.gabc1234"},
		{"v1.0.1", "1764489660", "1.0.1"},
	} {
		command := exec.CommandContext(t.Context(), "bash", "-c", function+"\ndebian_version "+v.version)
		command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+v.made)
		out, err := command.Output()
		require.NoError(t, err)
		got := strings.TrimSpace(string(out))
		assert.Equal(t, v.want, got)
		if before != "" {
			assert.NoError(t, exec.CommandContext(t.Context(), "dpkg", "--compare-versions", before, "lt", got).Run(), got)
		}
		before = got
	}
}
