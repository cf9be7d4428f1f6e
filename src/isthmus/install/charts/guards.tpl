{{- /* "yes" for an object that installations share, where another one made it: it stays that one's. */}}
{{- define "isthmus.left" }}
{{- $seen := lookup .apiVersion .kind "" .name }}
{{- if $seen }}
{{- $annotations := $seen.metadata.annotations | default dict }}
{{- $labels := $seen.metadata.labels | default dict }}
{{- $mine := and (eq (get $annotations "meta.helm.sh/release-name") .root.Release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") .root.Release.Namespace) }}
{{- $isthmus := true }}
{{- range $key, $value := .labels }}
{{- if ne (get $labels $key) $value }}
{{- $isthmus = false }}
{{- end }}
{{- end }}
{{- $home := and .home (eq .name .root.Release.Namespace) }}
{{- if and (not $mine) (or $isthmus $home) }}yes{{ end }}
{{- end }}
{{- end }}

{{- /* Fails where the cluster has this part for another set: that one has to go first. */}}
{{- define "isthmus.one-set" }}
{{- $seen := lookup "apps/v1" "Deployment" .namespace .name }}
{{- if $seen }}
{{- $set := get ($seen.metadata.labels | default dict) .label }}
{{- if and $set (ne $set .root.Values.set) }}
{{- fail (printf "this cluster is %s of set %s already, not of %s: uninstall that first" .part $set .root.Values.set) }}
{{- end }}
{{- end }}
{{- end }}
