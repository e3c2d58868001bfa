<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips">
  <renderer-v2 type="singleSymbol">
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="255,145,0,50"/>
          <prop k="outline_color" v="255,145,0,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <previewExpression>"country_name" || ' ' || "id"</previewExpression>
  <mapTip enabled="1">&lt;b>[% "country_name" %]&lt;/b>, [% "year" %]&lt;br>
[% format_number("area" / 10000, 2) %] ha</mapTip>
</qgis>
