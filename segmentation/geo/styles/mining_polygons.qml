<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips|Temporal">
  <!-- Expressions, mode 4, and not the fields themselves, mode 2: older releases (3.22) compare a date with a point in
       time as texts, and so show polygons that begin on 1 January in the frame of the year before as well. -->
  <temporal enabled="1" mode="4" limitMode="1" startField="valid_from" endField="valid_to"
    startExpression="to_datetime(&quot;valid_from&quot;)" endExpression="to_datetime(&quot;valid_to&quot;)"/>
  <renderer-v2 type="graduatedSymbol" attr="mean_probability" graduatedMethod="GraduatedColor">
    <ranges>
      <range symbol="0" lower="0" upper="0.7" label="mean probability below 0.7" render="true"/>
      <range symbol="1" lower="0.7" upper="0.9" label="0.7 to 0.9" render="true"/>
      <range symbol="2" lower="0.9" upper="1" label="above 0.9" render="true"/>
    </ranges>
    <!-- A dark casing below a bright outline shows on forest and on bare ground alike. -->
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="255,235,59,50"/>
          <prop k="outline_color" v="255,235,59,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
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
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="0,0,0,150"/>
          <prop k="line_width" v="0.8"/>
        </layer>
        <layer class="SimpleFill" enabled="1" pass="0" locked="0">
          <prop k="color" v="255,0,110,50"/>
          <prop k="outline_color" v="255,0,110,255"/>
          <prop k="outline_width" v="0.4"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <previewExpression>"country_name" || ' ' || "id"</previewExpression>
  <mapTip enabled="1">&lt;b>[% "country_name" %]&lt;/b>, [% "year" %]&lt;br>
[% format_number("area" / 10000, 2) %] ha, mean probability [% format_number("mean_probability", 2) %]</mapTip>
</qgis>
