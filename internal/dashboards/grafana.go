// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package dashboards builds the Grafana dashboards in config/stack/grafana/dashboards. pipeline.go and gpu.go define
// their content in screen order; this file contains what all panels have in common.
package dashboards

import (
	"errors"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

const (
	// Widths and height of a panel, in cells of Grafana's grid of 24 columns.
	third, half, full = 8, 12, 24
	height            = 8

	// schemaVersion is the version that the Grafana in docker-compose.yaml writes; the SDK's is newer.
	schemaVersion = 39

	tag = "otelcol-anonymizer" // common to all dashboards, which link to each other by it
)

// The SDK marks these as deprecated in favor of a schema that Grafana 11 cannot read.
type (
	// Dashboard is a Grafana dashboard in the classic JSON model.
	Dashboard = dashboard.Dashboard        //nolint:staticcheck
	builder   = dashboard.DashboardBuilder //nolint:staticcheck
)

// All builds the dashboards, keyed by file name.
func All() (map[string]Dashboard, error) {
	var errs []error
	all := map[string]Dashboard{}
	for name, b := range map[string]*builder{"pipeline.json": pipeline(), "gpu.json": gpu()} {
		page, err := b.Build()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		page.SchemaVersion = schemaVersion
		for i := range page.Links {
			page.Links[i].Placement = nil // show the links above the panels; the SDK's default hides them in a menu
		}
		for i, panel := range page.Panels {
			id := uint32(i + 1)
			if panel.RowPanel != nil {
				panel.RowPanel.Id = id
			} else {
				panel.Panel.Id = &id
			}
		}
		all[name] = page
	}
	return all, errors.Join(errs...)
}

func newDashboard(uid, title, description string) *builder {
	//nolint:staticcheck // as above
	return dashboard.NewDashboardBuilder(title).Uid(uid).Description(description).Tags([]string{tag}).
		Version(1).Timezone("").Time("now-30m", "now").Refresh("10s").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder(tag).Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
			IncludeVars(true).KeepTime(true))
}

func row(title string) *dashboard.RowBuilder { return dashboard.NewRowBuilder(title) }

// source refers to the data source defined in config/stack/grafana/provisioning.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("prometheus")}
}

// variable lets the viewer select values of a metric's label.
func variable(name, title, metric, label string) *dashboard.QueryVariableBuilder {
	query := fmt.Sprintf("label_values(%s, %s)", metric, label)
	return dashboard.NewQueryVariableBuilder(name).Label(title).Datasource(source()).
		Query(dashboard.StringOrMap{Map: map[string]any{"query": query, "refId": name}}).Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{String: new("All")},
			Value: dashboard.StringOrArrayOfString{String: new("$__all")},
		})
}

// query queries Prometheus for a range of values. The legend names each series, with labels as {{label}}.
func query(expr, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(source()).EditorMode(prometheus.QueryEditorModeCode).
		Expr(expr).LegendFormat(legend).Range().Exemplar(false)
}

// targets labels the queries of a panel A, B, C, and so on.
func targets(queries ...*prometheus.DataqueryBuilder) []cog.Builder[variants.Dataquery] {
	var all []cog.Builder[variants.Dataquery]
	for i, q := range queries {
		all = append(all, q.RefId(string(rune('A'+i))))
	}
	return all
}

func graph(title, unit string, queries ...*prometheus.DataqueryBuilder) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Title(title).Datasource(source()).Height(height).Span(half).
		Unit(unit).Min(0).Targets(targets(queries...)).
		FillOpacity(10).LineWidth(1).ShowPoints(common.VisibilityModeNever).
		SpanNulls(common.BoolOrFloat64{Bool: new(false)}).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
}

// stackedGraph shows stacked areas.
func stackedGraph(title, unit string, queries ...*prometheus.DataqueryBuilder) *timeseries.PanelBuilder {
	return graph(title, unit, queries...).FillOpacity(40).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
}

// rightAxis gives the series of a query their own axis.
func rightAxis(unit string) []dashboard.DynamicConfigValue {
	return []dashboard.DynamicConfigValue{
		{Id: "custom.axisPlacement", Value: "right"},
		{Id: "unit", Value: unit},
		{Id: "custom.fillOpacity", Value: 0},
	}
}

func heatMap(title, unit string, query *prometheus.DataqueryBuilder) *heatmap.PanelBuilder {
	return heatmap.NewPanelBuilder().Title(title).Datasource(source()).Height(height).Span(half).
		Unit(unit).Min(0).Targets(targets(query.Format(prometheus.PromQueryFormatHeatmap))).
		YAxis(heatmap.NewYAxisConfigBuilder().Unit(unit)).
		Tooltip(heatmap.NewHeatmapTooltipBuilder().Mode(common.TooltipDisplayModeSingle))
}

// last reduces a series to its latest value.
func last() *common.ReduceDataOptionsBuilder {
	return common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)
}

func number(title, unit string, query *prometheus.DataqueryBuilder) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Datasource(source()).Height(height).Span(half).
		Unit(unit).Min(0).Targets(targets(query)).
		ReduceOptions(last()).Orientation(common.VizOrientationAuto)
}

func bars(title, unit string, query *prometheus.DataqueryBuilder) *bargauge.PanelBuilder {
	return bargauge.NewPanelBuilder().Title(title).Datasource(source()).Height(height).Span(half).
		Unit(unit).Min(0).Targets(targets(query)).
		ReduceOptions(last()).Orientation(common.VizOrientationAuto)
}

// latestTable shows the latest values without their times.
func latestTable(title string, query *prometheus.DataqueryBuilder) *table.PanelBuilder {
	return table.NewPanelBuilder().Title(title).Datasource(source()).Height(height).Span(half).
		Min(0).Targets(targets(query.Instant().Format(prometheus.PromQueryFormatTable))).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize",
			Options: map[string]any{"excludeByName": map[string]bool{"Time": true}}})
}
