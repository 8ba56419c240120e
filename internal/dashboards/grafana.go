// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package dashboards makes the Grafana dashboards of config/stack/grafana/dashboards. What they show stands in pipeline.go and
// gpu.go, in the order of the screen; this file knows how Grafana wants it.
package dashboards

import (
	"encoding/json"
	"fmt"
)

// Dashboard is one page. Panels are laid out from left to right, and wrap; a section begins a new line.
type Dashboard struct {
	UID, Title, Description string
	Variables               []Variable
	Sections                []Section
}

// Variable is a choice at the top of the page: the values that a label has.
type Variable struct {
	Name, Title   string
	Metric, Label string
}

// Query is what Grafana asks Prometheus for the values.
func (v Variable) Query() string { return fmt.Sprintf("label_values(%s, %s)", v.Metric, v.Label) }

// Section is a group of panels under a heading.
type Section struct {
	Title  string
	Panels []Panel
}

// Panel is one picture.
type Panel struct {
	Title, Description string
	// Kind is timeseries, stat, table, bargauge or heatmap; empty is timeseries.
	Kind string
	// Unit is Grafana's name for what is shown, such as s, ms, bytes, percentunit.
	Unit string
	// Width in Grafana's columns, of which a line has 24. 0 is 12.
	Width   int
	Queries []Query
	// Stacked areas add up.
	Stacked bool
	// Max is the end of the axis; 0 lets Grafana choose.
	Max float64
}

// Query is a line, or lines, of a panel.
type Query struct {
	// Expr is PromQL with Grafana's variables in it.
	Expr string
	// Legend names a line, with labels as {{label}}.
	Legend string
	// Exemplars puts dots on the picture that lead to traces.
	Exemplars bool
	// RightAxis gives the lines an axis of their own, in Unit.
	RightAxis bool
	Unit      string
}

const (
	columns    = 24
	height     = 8
	datasource = "prometheus" // uid in provisioning/datasources
)

type object = map[string]any

// JSON is the dashboard as Grafana reads it. The same dashboard always gives the same bytes.
func (d Dashboard) JSON() ([]byte, error) {
	var panels []object
	id, y := 0, 0
	for _, s := range d.Sections {
		id++
		panels = append(panels, object{"id": id, "type": "row", "title": s.Title, "collapsed": false,
			"gridPos": object{"x": 0, "y": y, "w": columns, "h": 1}, "panels": []object{}})
		y++
		x := 0
		for _, p := range s.Panels {
			width := p.Width
			if width == 0 {
				width = columns / 2
			}
			if x+width > columns {
				x, y = 0, y+height
			}
			id++
			panels = append(panels, p.object(id, object{"x": x, "y": y, "w": width, "h": height}))
			x += width
		}
		y += height
	}
	var variables []object
	for _, v := range d.Variables {
		variables = append(variables, object{
			"name": v.Name, "label": v.Title, "type": "query", "datasource": source(), "refresh": 2, "sort": 1,
			"query": object{"query": v.Query(), "refId": v.Name}, "definition": v.Query(),
			"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
		})
	}
	return json.MarshalIndent(object{
		"uid": d.UID, "title": d.Title, "description": d.Description, "tags": []string{"otelcol-anonymizer"},
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1, "refresh": "10s",
		"time": object{"from": "now-30m", "to": "now"}, "timezone": "", "annotations": object{"list": []object{}},
		"templating": object{"list": variables}, "panels": panels,
		"links": []object{{"type": "dashboards", "tags": []string{"otelcol-anonymizer"}, "title": "otelcol-anonymizer",
			"asDropdown": false, "includeVars": true, "keepTime": true}},
	}, "", "  ")
}

func source() object { return object{"type": "prometheus", "uid": datasource} }

func (p Panel) object(id int, position object) object {
	kind := p.Kind
	if kind == "" {
		kind = "timeseries"
	}
	var targets, overrides []object
	for i, q := range p.Queries {
		ref := string(rune('A' + i))
		target := object{"refId": ref, "datasource": source(), "editorMode": "code", "expr": q.Expr, "legendFormat": q.Legend,
			"exemplar": q.Exemplars, "range": kind != "table", "instant": kind == "table"}
		switch kind {
		case "table":
			target["format"] = "table"
		case "heatmap":
			target["format"] = "heatmap"
		}
		targets = append(targets, target)
		if q.RightAxis {
			overrides = append(overrides, object{
				"matcher": object{"id": "byFrameRefID", "options": ref},
				"properties": []object{{"id": "custom.axisPlacement", "value": "right"}, {"id": "unit", "value": q.Unit},
					{"id": "custom.fillOpacity", "value": 0}},
			})
		}
	}
	defaults := object{"unit": p.Unit, "min": 0, "custom": object{}}
	if p.Max > 0 {
		defaults["max"] = p.Max
	}
	options := object{}
	switch kind {
	case "timeseries":
		custom := object{"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": false}
		if p.Stacked {
			custom["fillOpacity"], custom["stacking"] = 40, object{"mode": "normal", "group": "A"}
		}
		defaults["custom"] = custom
		options = object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case "stat", "bargauge":
		options = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}, "values": false}}
	case "heatmap":
		options = object{"calculate": false, "yAxis": object{"unit": p.Unit}, "exemplars": object{"color": "rgba(255,0,255,0.7)"}}
	}
	out := object{
		"id": id, "type": kind, "title": p.Title, "description": p.Description, "datasource": source(), "gridPos": position,
		"targets": targets, "options": options, "fieldConfig": object{"defaults": defaults, "overrides": orEmpty(overrides)},
	}
	if kind == "table" {
		out["transformations"] = []object{{"id": "organize", "options": object{"excludeByName": object{"Time": true}}}}
	}
	return out
}

func orEmpty(list []object) []object {
	if list == nil {
		return []object{}
	}
	return list
}
