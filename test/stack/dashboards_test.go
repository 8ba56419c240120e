// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/internal/dashboards"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// TestWorkLeavesOutWaiting: the panel that shows which stage is the bottleneck leaves out tracking, in which frames
// wait.
func TestWorkLeavesOutWaiting(t *testing.T) {
	all, err := dashboards.All()
	require.NoError(t, err)
	asked := queries(t, all)
	require.Contains(t, asked, "panel Work in each stage A")
	assert.Contains(t, asked["panel Work in each stage A"], "person_detection")
	assert.NotContains(t, asked["panel Work in each stage A"], "tracking")
}

// TestDashboardFilesMatchTheirSource checks that the files were not edited by hand, and that panels do not overlap. It
// compares what the files mean to Grafana, not their formatting.
func TestDashboardFilesMatchTheirSource(t *testing.T) {
	all, err := dashboards.All()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(collector.Root(), "config", "stack", "grafana", "dashboards", "*"))
	require.NoError(t, err)
	require.Len(t, files, len(all), "a file for each dashboard, and no other")
	for name, dashboard := range all {
		want, err := json.Marshal(dashboard)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(collector.Root(), "config", "stack", "grafana", "dashboards", name))
		require.NoError(t, err)
		assert.JSONEq(t, string(want), string(got), "%s: run make dashboards", name)

		var page struct {
			Panels []struct {
				ID      int
				Title   string
				GridPos struct{ X, Y, W, H int }
			}
		}
		require.NoError(t, json.Unmarshal(got, &page))
		ids, cells := map[int]bool{}, map[string]string{}
		for _, panel := range page.Panels {
			assert.False(t, ids[panel.ID], "%s: the ID of %s is used twice", name, panel.Title)
			ids[panel.ID] = true
			at := panel.GridPos
			assert.LessOrEqual(t, at.X+at.W, 24, "%s: %s fits the screen", name, panel.Title)
			for x := at.X; x < at.X+at.W; x++ {
				for y := at.Y; y < at.Y+at.H; y++ {
					cell := fmt.Sprint(x, " ", y)
					require.Empty(t, cells[cell], "%s: %s overlaps", name, panel.Title)
					cells[cell] = panel.Title
				}
			}
		}
	}
}
