// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?s)```.*?```")
)

// pending are the pages that are linked to, and still to be added.
var pending = []string{"CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md"}

// TestLinksResolve follows the relative links of all documents, to files and to headings.
func TestLinksResolve(t *testing.T) {
	for _, document := range files(t, ".md") {
		text := fenced.ReplaceAllString(string(read(t, document)), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			linked := document
			if target != "" {
				linked = path.Join(path.Dir(document), target)
			}
			if slices.Contains(pending, linked) {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, linked)); !assert.NoError(t, err, "%s links to %s", document, match[1]) {
				continue
			}
			if anchor != "" {
				assert.Contains(t, anchors(string(read(t, linked))), anchor, "%s links to %s", document, match[1])
			}
		}
	}
}

// anchors returns the fragments by which the headings of a document can be linked to, as GitHub derives them.
func anchors(text string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		anchor := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(match[1]), "")
		all = append(all, strings.ReplaceAll(anchor, " ", "-"))
	}
	return all
}
